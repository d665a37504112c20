using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Drover.DataPrep.Building;
using Drover.ObjectStore;

namespace Drover.DataPrep.Quality;

/// <summary>
/// The phase that reads a task's documents for what tells duplicates. Its file has one entry for each document that the filters leave:
/// its index in the task (uint64), the exact hash (16 bytes), the MinHash signature (128 uint32), little-endian. It stays with the
/// dataset, for those that extend it.
/// </summary>
internal static class SignatureTask
{
    /// <summary>Bytes of an entry.</summary>
    public const int EntryBytes = 8 + 16 + (MinHash.Places * sizeof(uint));

    /// <summary>Writes the file.</summary>
    /// <returns>The record of the task, not stored yet.</returns>
    public static CompletionRecord Run(IObjectStore store, BuildPlan plan, int task, IEnumerable<ReadRecord> records, string workFolder, CancellationToken cancellation)
    {
        var filter = new QualityFilter(plan.Settings.Filters);
        bool near = plan.Settings.Deduplication.NearThreshold > 0;
        using FileStream file = WorkFolder.Open(workFolder, "signatures");
        byte[] entry = new byte[EntryBytes];
        ulong index = 0;
        foreach (ReadRecord record in records)
        {
            if (record.Document is null)
                continue;
            if (filter.Refuse(record.Document) is null)
            {
                string text = record.Document.Text;
                BinaryPrimitives.WriteUInt64LittleEndian(entry, index);
                BinaryPrimitives.WriteUInt128LittleEndian(entry.AsSpan(8), MinHash.Exact(text));
                if (near)
                    MemoryMarshal.AsBytes<uint>(MinHash.Of(text)).CopyTo(entry.AsSpan(24));
                file.Write(entry);
            }

            index++;
        }

        file.Position = 0;
        string digest = Convert.ToHexStringLower(SHA256.HashData(file));
        var written = new WrittenFile($"signatures/signatures-{plan.FirstTask + task:d5}-{digest[..16]}.bin", file.Length);
        StoredOnce.Put(store, ObjectKey.Join(plan.Dataset, written.File), file, written.Bytes, cancellation);
        return new CompletionRecord { SpecHash = plan.SpecHash, Task = task, Shards = [], Signatures = written, Counts = new TaskCounts() };
    }
}
