using System.Collections.Concurrent;
using System.Diagnostics;

namespace Drover.Benchmarks.Gateway;

/// <summary>How long each kind of call took, and what failed.</summary>
internal sealed class Latencies
{
    private readonly ConcurrentDictionary<string, ConcurrentBag<double>> _milliseconds = new(StringComparer.Ordinal);
    private readonly ConcurrentBag<string> _failures = [];

    /// <summary>What failed.</summary>
    public int Errors => _failures.Count;

    /// <summary>Does a call and counts it.</summary>
    public async Task TimeAsync(string what, Func<Task> call)
    {
        long begun = Stopwatch.GetTimestamp();
        await call();
        _milliseconds.GetOrAdd(what, _ => []).Add(Stopwatch.GetElapsedTime(begun).TotalMilliseconds);
    }

    /// <summary>Counts a failure.</summary>
    public void Fail(string message) => _failures.Add(message);

    /// <summary>Writes a table, and the first failures.</summary>
    public void Write(TextWriter output, double seconds)
    {
        output.WriteLine("| | calls | a second | p50 ms | p99 ms | slowest ms |");
        output.WriteLine("|---|---|---|---|---|---|");
        foreach ((string what, ConcurrentBag<double> bag) in _milliseconds)
        {
            double[] sorted = [.. bag.Order()];
            double At(double part) => sorted[(int)Math.Min(sorted.Length - 1, part * sorted.Length)];
            output.WriteLine(FormattableString.Invariant($"| {what} | {sorted.Length} | {sorted.Length / seconds:0.0} | {At(0.5):0} | {At(0.99):0} | {sorted[^1]:0} |"));
        }

        output.WriteLine($"errors: {Errors}");
        foreach (string failure in _failures.Take(5))
            output.WriteLine($"  {failure}");
    }
}
