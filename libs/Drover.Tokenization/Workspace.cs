using System.Collections.Concurrent;

namespace Drover.Tokenization;

/// <summary>What one encoding call needs for itself: a cache that stays warm between calls, and scratch memory.</summary>
internal sealed class Workspace(MergeTable table)
{
    // What a text of megabytes without a place to cut needs is not kept for the next one.
    private const int MostKept = 1 << 20;
    private int[] _symbols = new int[256];

    public SegmentCache Cache { get; } = new();

    public Merger Merger { get; } = new(table);

    /// <summary>Place for symbols; what was there before may be gone.</summary>
    public Span<int> Symbols(int count)
    {
        if (count > MostKept)
            return new int[count];
        if (_symbols.Length < count)
            _symbols = new int[Math.Max(count, Math.Min(2 * _symbols.Length, MostKept))];
        return _symbols.AsSpan(0, count);
    }
}

/// <summary>Lends workspaces; a thread mostly gets back the one that it had.</summary>
internal sealed class WorkspacePool(MergeTable table)
{
    private readonly ConcurrentBag<Workspace> _free = [];

    public Workspace Rent() => _free.TryTake(out Workspace? workspace) ? workspace : new Workspace(table);

    public void Return(Workspace workspace) => _free.Add(workspace);
}
