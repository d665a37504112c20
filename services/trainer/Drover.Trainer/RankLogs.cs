using System.Globalization;

namespace Drover.Trainer;

/// <summary>
/// What ranks print: all of it in "ranks.log", and that of each rank in "rank-N.log", without mpirun's tags. What carries no tag is
/// mpirun's own, or that of a single rank that was started without it.
/// </summary>
/// <param name="folder">Where the files are written.</param>
/// <param name="told">Is told each line too, with its rank where it has a tag.</param>
internal sealed class RankLogs(string folder, Action<int?, string>? told = null) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly StreamWriter _all = new(Path.Combine(folder, "ranks.log")) { AutoFlush = true };
    private readonly Dictionary<int, StreamWriter> _ofRanks = [];

    /// <summary>The log of all ranks.</summary>
    public string All { get; } = Path.Combine(folder, "ranks.log");

    /// <summary>Copies a stream to its end.</summary>
    public async Task PumpAsync(StreamReader source)
    {
        while (await source.ReadLineAsync().ConfigureAwait(false) is { } line)
            Write(line);
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _all.Dispose();
            foreach (StreamWriter log in _ofRanks.Values)
                log.Dispose();
        }
    }

    /// <summary>The rank and the text of a line that mpirun tagged, "[job,rank]&lt;stdout&gt;:text"; null for other lines.</summary>
    internal static (int Rank, string Text)? Untagged(string line)
    {
        int comma = line.IndexOf(',', StringComparison.Ordinal), bracket = line.IndexOf(']', StringComparison.Ordinal), end = line.IndexOf(">:", StringComparison.Ordinal);
        bool tagged = line.StartsWith('[') && comma > 0 && bracket > comma && end > bracket && line.AsSpan(bracket + 1, end - bracket).StartsWith("<std");
        return tagged && int.TryParse(line.AsSpan(comma + 1, bracket - comma - 1), NumberStyles.None, CultureInfo.InvariantCulture, out int rank)
            ? (rank, line[(end + 2)..])
            : null;
    }

    private void Write(string line)
    {
        lock (_gate)
        {
            _all.WriteLine(line);
            if (Untagged(line) is not var (rank, text))
            {
                told?.Invoke(null, line);
                return;
            }

            told?.Invoke(rank, text);
            if (!_ofRanks.TryGetValue(rank, out StreamWriter? log))
                _ofRanks[rank] = log = new StreamWriter(Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"rank-{rank}.log"))) { AutoFlush = true };
            log.WriteLine(text);
        }
    }
}
