using System.Diagnostics;
using static TorchSharp.torch;

namespace Drover.Benchmarks;

/// <summary>
/// Pieces of a step that are timed alone, once after each step, so that they and the steps meet the same machine: its clock and its other
/// guests change within a minute by more than what is to be seen.
/// </summary>
internal sealed class TimedAlone
{
    private readonly List<(int Times, Action Work, List<double> Seconds)> _pieces = [];

    /// <summary>Seconds of all pieces, each by its median as often as a step does it.</summary>
    public double SecondsOfStep => _pieces.Sum(p => p.Times * p.Seconds.Order().ElementAt(p.Seconds.Count / 2));

    /// <summary>A piece that a step does some times.</summary>
    public void Add(int times, Action work) => _pieces.Add((times, work, []));

    /// <summary>Does each once.</summary>
    public void Time()
    {
        using var noGrad = no_grad();
        foreach ((_, Action work, List<double> seconds) in _pieces)
        {
            using var scope = NewDisposeScope();
            long started = Stopwatch.GetTimestamp();
            work();
            seconds.Add(Stopwatch.GetElapsedTime(started).TotalSeconds);
        }
    }
}
