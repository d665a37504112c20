using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Drover.Formats.Datasets;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>What a run reads, and in which order: one dataset, or a mixture.</summary>
internal sealed class TrainingRows : IDisposable
{
    private readonly ConcatenatedRows _rows;

    private TrainingRows(IReadOnlyList<PackedDataset> datasets, IRowOrder order, string hash)
    {
        (Datasets, Order, Hash) = (datasets, order, hash);
        _rows = new ConcatenatedRows(datasets);
    }

    /// <summary>In the order that numbers the rows.</summary>
    public IReadOnlyList<PackedDataset> Datasets { get; }

    /// <summary>All rows.</summary>
    public IRowSource Source => _rows;

    public IRowOrder Order { get; }

    /// <summary>Of one dataset its manifest's; of a mixture one over those of all, weights and buckets.</summary>
    public string Hash { get; }

    /// <summary>Opens what the spec names.</summary>
    public static async Task<TrainingRows> OpenAsync(RankContext rank, TrainSpec train)
    {
        IReadOnlyList<TrainMixturePart> parts = train.Mixture.Count > 0 ? train.Mixture : [new TrainMixturePart(rank.Spec.Dataset, 1)];
        var datasets = new List<PackedDataset>();
        foreach (TrainMixturePart part in parts)
            datasets.Add(await PackedDataset.OpenAsync(rank.Store, part.Dataset, rank.Spec.CacheFolder, CancellationToken.None).ConfigureAwait(false));
        if (train.Mixture.Count == 0)
            return new TrainingRows(datasets, new RowOrder(Math.Max(1, datasets[0].RowCount), train.Seed), datasets[0].ManifestHash);
        var order = new MixtureOrder([.. parts.Zip(datasets, (p, d) => new MixturePart(d.RowCount, p.Weight))], train.MixtureBuckets, train.Seed);
        var text = new StringBuilder();
        foreach ((TrainMixturePart part, PackedDataset dataset) in parts.Zip(datasets))
            text.Append(CultureInfo.InvariantCulture, $"{dataset.ManifestHash} {part.Weight:R}\n");
        text.Append(CultureInfo.InvariantCulture, $"{train.MixtureBuckets}\n");
        return new TrainingRows(datasets, order, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString()))));
    }

    public void Dispose() => _rows.Dispose();
}
