using System.Numerics;
using System.Runtime.InteropServices;

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

/// <summary>
/// Lends workspaces; a thread mostly gets back the one that it had. Short texts ask for one a million times a second: each thread has a place of
/// its own to look at first, on a cache line of its own (a ConcurrentBag counts in one place of all threads whenever a list fills: two threads
/// were 1.3 times one).
/// </summary>
internal sealed class WorkspacePool(MergeTable table)
{
    private readonly Place[] _places = new Place[(int)BitOperations.RoundUpToPowerOf2((uint)(4 * Environment.ProcessorCount))];

    private int Own => Environment.CurrentManagedThreadId & (_places.Length - 1);

    public Workspace Rent()
    {
        int own = Own;
        for (int i = 0; i < _places.Length; i++)
        {
            ref Workspace? free = ref _places[own ^ i].Free;
            if (free is not null && Interlocked.Exchange(ref free, null) is { } workspace)
                return workspace;
        }

        return new Workspace(table);
    }

    /// <summary>Takes one back; where there is no place left it is let go.</summary>
    public void Return(Workspace workspace)
    {
        int own = Own;
        for (int i = 0; i < _places.Length; i++)
        {
            ref Workspace? free = ref _places[own ^ i].Free;
            if (free is null && Interlocked.CompareExchange(ref free, workspace, null) is null)
                return;
        }
    }

    // Two cache lines: processors fetch them in pairs.
    [StructLayout(LayoutKind.Sequential, Size = 128)]
    private struct Place
    {
        public Workspace? Free;
    }
}
