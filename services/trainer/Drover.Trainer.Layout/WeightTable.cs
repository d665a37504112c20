using Drover.Formats.Adapters;

namespace Drover.Trainer.Layout;

/// <summary>
/// What a rank holds for the weights of a block: its part of each, whether and how fast it is trained, and what LoRA adds. The model is
/// laid out by this table, and plans are made with it.
/// </summary>
/// <param name="rates">Which weights are trained, and how fast.</param>
/// <param name="lora">Adapters; null for none.</param>
/// <param name="hasBase">Frozen weights are held for compute alone: there is somewhere they can be read again.</param>
/// <param name="rank">Of tensor parallelism.</param>
/// <param name="ranks">Of tensor parallelism.</param>
public sealed class WeightTable(WeightRates rates, LoraSpec? lora, bool hasBase, int rank, int ranks)
{
    // Products that are done together need weights that follow each other: they are frozen together, or keep their state.
    private static readonly string[][] Together = [[".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj."], [".mlp.gate_proj.", ".mlp.up_proj."]];

    /// <summary>Everything trained, one rank: the model as it is.</summary>
    public static WeightTable Whole { get; } = new(new WeightRates(), null, false, 0, 1);

    /// <summary>The weights of a block.</summary>
    /// <param name="weights">Names and whole shapes, in the order of the model.</param>
    public LocalWeight[] Of(IEnumerable<(string Name, long[] Shape)> weights)
    {
        (string Name, long[] Shape)[] all = [.. weights];
        LocalWeight[] parts = [.. all.Select(w => CutTable.PartOf(w.Name, w.Shape, rank, ranks) with { RateFactor = FactorOf(w.Name) })];
        LocalWeight[] known = hasBase ? [.. parts.Select(p => p with { IsBase = parts.Where(o => GroupOf(o.Name) == GroupOf(p.Name)).All(o => o.IsFrozen) })] : parts;
        return lora is null ? known : [.. known, .. Added(all)];
    }

    private double FactorOf(string name) => lora is null || lora.IsSaved(name) || AdapterTensors.IsAdded(name) ? rates.FactorOf(name) : 0;

    // The As of products that are done together follow each other, so that theirs are too.
    private IEnumerable<LocalWeight> Added((string Name, long[] Shape)[] weights) =>
        weights.SelectMany(w => AdapterTensors.Of(lora!, w.Name, w.Shape).Select(a => PartOf(w, a.Name, a.Shape) with { RateFactor = FactorOf(a.Name) }))
            .OrderBy(a => AdapterTensors.IsA(a.Name) ? 0 : AdapterTensors.IsB(a.Name) ? 1 : 2);

    // In beside a weight that is cut by rows: A is whole, with a part of its gradient on each rank, B is cut; beside one that is cut by
    // columns it is the other way round, and the lengths of rows are whole.
    private LocalWeight PartOf((string Name, long[] Shape) weight, string name, long[] shape)
    {
        if (ranks == 1 && !AdapterTensors.IsRows(name))
            return LocalWeight.Whole(name, shape);
        if (AdapterTensors.IsRows(name))
            return RowsOf(weight, name, shape);
        int dim = CutTable.DimOf(weight.Name)!.Value, cut = AdapterTensors.IsA(name) ? 1 : 0;
        if (dim != cut)
            return LocalWeight.Whole(name, shape) with { HasPartialGradient = true };
        (long first, long count) = CutTable.RangeOf(shape[dim], rank, ranks);
        return LocalWeight.Part(name, shape, dim, first, count);
    }

    private LocalWeight RowsOf((string Name, long[] Shape) weight, string name, long[] shape)
    {
        (long first, long count) = CutTable.RangeOf(weight.Shape[0], rank, ranks);
        long from = Math.Clamp(lora!.TokenRowsFrom, first, first + count);
        return LocalWeight.Part(name, shape, 0, Math.Max(0, from - lora.TokenRowsFrom), first + count - from) with { RowsOf = new RowsOfWeight(weight.Name, from - first, ranks > 1) };
    }

    private static string GroupOf(string name)
    {
        foreach (string[] together in Together)
        {
            if (together.FirstOrDefault(t => name.Contains(t, StringComparison.Ordinal)) is { } one)
                return name.Replace(one, together[0], StringComparison.Ordinal);
        }

        return name;
    }
}
