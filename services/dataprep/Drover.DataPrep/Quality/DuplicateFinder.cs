using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Drover.DataPrep.Building;
using Drover.ObjectStore;

namespace Drover.DataPrep.Quality;

/// <summary>
/// Finds the documents that are like one before, over all tasks:
///   1. each signature file is read once; its exact hashes and bands are spread over partition files, its entries put into one file;
///   2. each partition is sorted in memory: documents with the same value are candidates, compared by their signatures;
///   3. of each set of documents that are linked, the first stays. Being like is passed on: a document may go because of one that goes itself.
/// A pure function of the signatures, so the number of workers changes nothing. Memory: one partition (64 MiB), and 24 bytes for each
/// document that is like another. Disk: 536 bytes a document for entries, 16 for each band.
/// </summary>
internal sealed class DuplicateFinder(IObjectStore store, BuildPlan plan, string workFolder)
{
    private const int PartitionEntries = 4 << 20;

    // Documents of one band value that differ from each other; more are not compared.
    private const int MostRepresentatives = 64;

    private readonly List<FileStream> _files = [];
    private readonly Dictionary<long, long> _earlier = [];
    private readonly HashSet<long> _near = [];

    /// <summary>Finds and stores the duplicates of every task of the plan.</summary>
    /// <param name="before">Signature files of the dataset that is extended, whose documents all stay.</param>
    /// <param name="ours">Signature files of the plan's tasks.</param>
    /// <param name="cancellation">Ends the work.</param>
    public async Task RunAsync(IReadOnlyList<string> before, IReadOnlyList<string> ours, CancellationToken cancellation)
    {
        double threshold = plan.Settings.Deduplication.NearThreshold;
        int rows = threshold > 0 ? MinHash.RowsOfBand(threshold) : 0;
        int bands = threshold > 0 ? MinHash.Places / rows : 0;
        try
        {
            List<(long First, long Count, int Task)> tasks = await SizesAsync(before, ours, cancellation).ConfigureAwait(false);
            long documents = tasks.Sum(t => t.Count);
            int parts = (int)((documents / PartitionEntries) + 1);
            FileStream entries = Open("entries");
            FileStream[] partitions = [.. Enumerable.Range(0, (bands + 1) * parts).Select(i => Open($"partition-{i}"))];
            long document = 0;
            foreach (string key in before.Concat(ours))
                document = await SpreadAsync(key, document, entries, partitions, parts, bands, rows, cancellation).ConfigureAwait(false);
            for (int i = 0; i < partitions.Length; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                Link(Read(partitions[i]), entries, i < parts ? 0 : threshold);
            }

            await StoreAsync(tasks, entries, cancellation).ConfigureAwait(false);
        }
        finally
        {
            foreach (FileStream file in _files)
                await file.DisposeAsync().ConfigureAwait(false);
        }
    }

    private FileStream Open(string name)
    {
        FileStream file = WorkFolder.Open(workFolder, name);
        _files.Add(file);
        return file;
    }

    private async Task<List<(long First, long Count, int Task)>> SizesAsync(IReadOnlyList<string> before, IReadOnlyList<string> ours, CancellationToken cancellation)
    {
        var sizes = new List<(long, long, int)>();
        long first = 0;
        int task = -before.Count;
        foreach (string key in before.Concat(ours))
        {
            long count = (await store.GetInfoAsync(key, cancellation).ConfigureAwait(false)).Size / SignatureTask.EntryBytes;
            sizes.Add((first, count, task++));
            first += count;
        }

        return sizes;
    }

    // An entry of a partition: value (uint64), document (int64).
    private async Task<long> SpreadAsync(string key, long document, FileStream entries, FileStream[] partitions, int parts, int bands, int rows, CancellationToken cancellation)
    {
        Stream stream = await store.OpenReadAsync(key, 0, null, cancellation).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            byte[] entry = new byte[SignatureTask.EntryBytes];
            while (await stream.ReadAtLeastAsync(entry, entry.Length, throwOnEndOfStream: false, cancellation).ConfigureAwait(false) == entry.Length)
            {
                entries.Write(entry);
                Put(partitions, 0, parts, BinaryPrimitives.ReadUInt64LittleEndian(entry.AsSpan(8)), document);
                for (int band = 0; band < bands; band++)
                    Put(partitions, band + 1, parts, MinHash.Band(Signature(entry), band, rows), document);
                document++;
            }
        }

        return document;
    }

    private static void Put(FileStream[] partitions, int set, int parts, ulong value, long document)
    {
        Span<byte> entry = stackalloc byte[16];
        BinaryPrimitives.WriteUInt64LittleEndian(entry, value);
        BinaryPrimitives.WriteInt64LittleEndian(entry[8..], document);
        partitions[(set * parts) + (int)(value % (ulong)parts)].Write(entry);
    }

    private static (ulong Value, long Document)[] Read(FileStream partition)
    {
        byte[] bytes = new byte[partition.Length];
        partition.Position = 0;
        partition.ReadExactly(bytes);
        var read = new (ulong Value, long Document)[bytes.Length / 16];
        for (int i = 0; i < read.Length; i++)
            read[i] = (BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(i * 16)), BinaryPrimitives.ReadInt64LittleEndian(bytes.AsSpan((i * 16) + 8)));
        Array.Sort(read);
        return read;
    }

    // A threshold of 0: the exact hashes must be the same.
    private void Link((ulong Value, long Document)[] sorted, FileStream entries, double threshold)
    {
        var representatives = new List<(long Document, byte[] Entry)>();
        for (int i = 0; i < sorted.Length; i++)
        {
            bool isFirst = i == 0 || sorted[i].Value != sorted[i - 1].Value;
            if (isFirst)
                representatives.Clear();
            bool isAlone = isFirst && (i + 1 == sorted.Length || sorted[i + 1].Value != sorted[i].Value);
            if (isAlone)
                continue;
            long document = sorted[i].Document;
            byte[] entry = Entry(entries, document);
            int like = representatives.FindIndex(r => IsLike(r.Entry, entry, threshold));
            if (like >= 0)
                Join(representatives[like].Document, document, isNear: threshold > 0);
            else if (representatives.Count < MostRepresentatives)
                representatives.Add((document, entry));
        }
    }

    private static bool IsLike(byte[] a, byte[] b, double threshold) => threshold == 0
        ? a.AsSpan(8, 16).SequenceEqual(b.AsSpan(8, 16))
        : MinHash.Similarity(Signature(a), Signature(b)) >= threshold;

    private static ReadOnlySpan<uint> Signature(byte[] entry) => MemoryMarshal.Cast<byte, uint>(entry.AsSpan(24));

    private static byte[] Entry(FileStream entries, long document)
    {
        byte[] entry = new byte[SignatureTask.EntryBytes];
        entries.Position = document * SignatureTask.EntryBytes;
        entries.ReadExactly(entry);
        return entry;
    }

    private void Join(long a, long b, bool isNear)
    {
        (long first, long second) = (Root(a), Root(b));
        if (first == second)
            return;
        (long earlier, long later) = first < second ? (first, second) : (second, first);
        _earlier[later] = earlier;
        if (isNear)
            _near.Add(later);
    }

    private long Root(long document)
    {
        long root = document;
        while (_earlier.TryGetValue(root, out long next))
            root = next;
        // Shortens the way for the next one.
        while (document != root)
        {
            long next = _earlier[document];
            _earlier[document] = root;
            document = next;
        }

        return root;
    }

    private async Task StoreAsync(List<(long First, long Count, int Task)> tasks, FileStream entries, CancellationToken cancellation)
    {
        BuildKeys keys = BuildKeys.Of(plan);
        long[] later = [.. _earlier.Keys.Order()];
        int next = 0;
        foreach ((long first, long count, int task) in tasks)
        {
            var list = new List<ulong>();
            for (; next < later.Length && later[next] < first + count; next++)
                list.Add((BinaryPrimitives.ReadUInt64LittleEndian(Entry(entries, later[next])) * 2) + (_near.Contains(later[next]) ? 1UL : 0));
            if (task < 0)
                continue;
            await store.PutBytesAsync(keys.Duplicates(task), DuplicateList.Write(list), PutCondition.None, cancellation).ConfigureAwait(false);
        }

        await store.PutTextAsync(keys.DuplicatesDone, "", cancellation).ConfigureAwait(false);
    }
}
