using System.Buffers.Binary;
using Drover.DataPrep.Building;
using Drover.DataPrep.Documents;
using Drover.ObjectStore;

namespace Drover.DataPrep.Quality;

/// <summary>Documents of a task that are like one before: their index, times two, plus one where the texts are not the same (uint64 each, rising).</summary>
internal sealed class DuplicateList
{
    private readonly IReadOnlyList<ulong> _entries;
    private int _next;

    private DuplicateList(IReadOnlyList<ulong> entries) => _entries = entries;

    /// <summary>No duplicates.</summary>
    public static DuplicateList None => new([]);

    /// <summary>The list of a task; empty where the build leaves duplicates in.</summary>
    public static async Task<DuplicateList> ReadAsync(IObjectStore store, BuildPlan plan, int task, CancellationToken cancellation)
    {
        if (!plan.Deduplicates)
            return None;
        byte[] bytes = await store.ReadAllBytesAsync(BuildKeys.Of(plan).Duplicates(task), cancellation).ConfigureAwait(false);
        return new DuplicateList([.. Enumerable.Range(0, bytes.Length / sizeof(ulong)).Select(i => BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(i * sizeof(ulong))))]);
    }

    /// <summary>The bytes of a list.</summary>
    public static byte[] Write(IReadOnlyList<ulong> entries)
    {
        byte[] bytes = new byte[entries.Count * sizeof(ulong)];
        for (int i = 0; i < entries.Count; i++)
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * sizeof(ulong)), entries[i]);
        return bytes;
    }

    /// <summary>Whether a document is in the list; documents are asked for in their order.</summary>
    public RejectedException? Refuse(long index)
    {
        if (_next == _entries.Count || _entries[_next] / 2 != (ulong)index)
            return null;
        return _entries[_next++] % 2 == 0
            ? new RejectedException(RejectReasons.Duplicate, "the same text was in a document before")
            : new RejectedException(RejectReasons.NearDuplicate, "nearly the same text was in a document before");
    }
}
