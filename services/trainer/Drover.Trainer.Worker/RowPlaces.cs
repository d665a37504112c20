using Drover.Formats.Datasets;
using Drover.ObjectStore;

namespace Drover.Trainer.Worker;

/// <summary>
/// Where a row comes from, for messages: its shard, and the stretches of source files that the shard's task read. Packing puts documents
/// of all of them into a row: nearer it is not known.
/// </summary>
/// <param name="datasets">In the order that numbers the rows.</param>
internal sealed class RowPlaces(IReadOnlyList<PackedDataset> datasets)
{
    private const int MostSources = 3;

    /// <summary>The place of a row in words; null for a row that is not there.</summary>
    public string? Of(long row)
    {
        foreach (PackedDataset dataset in datasets)
        {
            foreach (DatasetShard shard in dataset.Manifest.Shards)
            {
                if (row < shard.Rows)
                    return string.Join(", ", [$"row {row} of '{ObjectKey.Join(dataset.Prefix, shard.File)}'", .. Sources(shard)]);
                row -= shard.Rows;
            }
        }

        return null;
    }

    private static IEnumerable<string> Sources(DatasetShard shard)
    {
        foreach (ShardSource source in shard.From.Take(MostSources))
            yield return $"{source.Bytes} bytes from line {source.FirstLine} of '{source.Key}'";
        if (shard.From.Count > MostSources)
            yield return $"{shard.From.Count - MostSources} more files";
    }
}
