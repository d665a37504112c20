using System.Globalization;
using System.Text;
using Drover.Trainer.Collectives;
using Drover.Trainer.Parallelism;

namespace Drover.Trainer.Engine;

/// <summary>The rows of a step with the loss of each micro-batch, gathered from the ranks that saw it, the worst first.</summary>
internal static class SuspectRows
{
    private const int Named = 8;

    /// <summary>Gathers them; every rank calls it and gets the same.</summary>
    /// <param name="grid">The ranks.</param>
    /// <param name="microBatches">Of this rank's replica.</param>
    /// <param name="losses">Summed loss of each that this rank's head saw, in the same order; empty where the head is not.</param>
    public static IReadOnlyList<SuspectBatch> Gather(RankGrid grid, IReadOnlyList<MicroBatch> microBatches, IReadOnlyDictionary<int, double> losses)
    {
        // Every rank of a tensor group has the loss whole; sequence ranks have a part of it each.
        var text = new StringBuilder();
        foreach ((int i, double loss) in grid.Tensor.Rank == 0 ? losses : new Dictionary<int, double>())
        {
            int labels = microBatches[i].Rows.Sum(Model.TokenBatch.CountLabels);
            text.Append(CultureInfo.InvariantCulture, $"{grid.Coordinates.Data} {i} {loss:R} {labels} {string.Join(',', microBatches[i].RowIds)}\n");
        }

        byte[][] all = grid.World.GatherBytes(Encoding.UTF8.GetBytes(text.ToString()));
        return [.. all.SelectMany(bytes => Encoding.UTF8.GetString(bytes).Split('\n', StringSplitOptions.RemoveEmptyEntries))
            .Select(line => line.Split(' '))
            .GroupBy(f => (Data: int.Parse(f[0], CultureInfo.InvariantCulture), MicroBatch: int.Parse(f[1], CultureInfo.InvariantCulture)))
            .Select(g => new SuspectBatch(
                [.. g.First()[4].Split(',').Select(id => long.Parse(id, CultureInfo.InvariantCulture))],
                g.Sum(f => double.Parse(f[2], CultureInfo.InvariantCulture)) / Math.Max(1, int.Parse(g.First()[3], CultureInfo.InvariantCulture))))
            .OrderByDescending(b => double.IsFinite(b.Loss) ? b.Loss : double.PositiveInfinity).ThenBy(b => b.RowIds[0])];
    }

    /// <summary>The worst of them in words.</summary>
    public static string Describe(IReadOnlyList<SuspectBatch> batches, Func<long, string?>? placeOf)
    {
        bool someNot = batches.Any(b => !double.IsFinite(b.Loss)), allNot = batches.All(b => !double.IsFinite(b.Loss));
        SuspectBatch[] worst = [.. someNot && !allNot ? batches.Where(b => !double.IsFinite(b.Loss)) : batches.Take(1)];
        string which = someNot ? "the loss is not finite in the micro-batch" : "the highest loss is that of the micro-batch";
        long[] rows = [.. worst.SelectMany(b => b.RowIds)];
        string named = string.Join(", ", rows.Take(Named).Select(id => placeOf?.Invoke(id) is { } place ? $"{id} ({place})" : $"{id}"));
        string more = rows.Length > Named ? $" and {rows.Length - Named} more" : "";
        return FormattableString.Invariant($"Of its {batches.Sum(b => b.RowIds.Count)} rows, {which} of {(rows.Length == 1 ? "row" : "rows")} {named}{more} ({(someNot ? "not finite" : $"{worst[0].Loss:0.####}")})");
    }
}

/// <summary>A micro-batch of a step.</summary>
/// <param name="RowIds">Its rows.</param>
/// <param name="Loss">Nats per labelled token.</param>
internal sealed record SuspectBatch(IReadOnlyList<long> RowIds, double Loss);
