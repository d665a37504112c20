using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Layout;

/// <summary>
/// How each weight is cut among the ranks of tensor parallelism (Shoeybi et al., 2019): projections into a half block by rows,
/// those out of it by columns, so that a half block needs one sum; embedding and head by ids. What is not listed is whole everywhere; norms of heads are
/// too, but each rank has a part of their gradient.
/// </summary>
public static class CutTable
{
    private static readonly (string Suffix, int Dim)[] Rows =
    [
        ("self_attn.q_proj.weight", 0), ("self_attn.q_proj.bias", 0),
        ("self_attn.k_proj.weight", 0), ("self_attn.k_proj.bias", 0),
        ("self_attn.v_proj.weight", 0), ("self_attn.v_proj.bias", 0),
        ("self_attn.o_proj.weight", 1),
        ("mlp.gate_proj.weight", 0), ("mlp.gate_proj.bias", 0),
        ("mlp.up_proj.weight", 0), ("mlp.up_proj.bias", 0),
        ("mlp.down_proj.weight", 1),
        (LlamaTensors.Embedding, 0), (LlamaTensors.Head, 0),
    ];

    private static readonly string[] OfHeads = [.. LlamaTensors.HeadNorms];

    /// <summary>The dim along which a weight is cut; null for none.</summary>
    public static int? DimOf(string name)
    {
        foreach ((string suffix, int dim) in Rows)
        {
            if (name.EndsWith(suffix, StringComparison.Ordinal))
                return dim;
        }

        return null;
    }

    /// <summary>The part of a weight that a rank holds. Only the vocabulary may be shared unevenly: the last rank has what is left.</summary>
    public static LocalWeight PartOf(string name, long[] shape, int rank, int ranks)
    {
        if (ranks == 1)
            return LocalWeight.Whole(name, shape);
        if (DimOf(name) is not { } dim)
            return LocalWeight.Whole(name, shape) with { HasPartialGradient = OfHeads.Any(s => name.EndsWith(s, StringComparison.Ordinal)) };
        (long first, long count) = RangeOf(shape[dim], rank, ranks);
        return LocalWeight.Part(name, shape, dim, first, count);
    }

    /// <summary>The stretch of an extent that a rank holds.</summary>
    public static (long First, long Count) RangeOf(long extent, int rank, int ranks)
    {
        long size = (extent + ranks - 1) / ranks, first = Math.Min(extent, rank * size);
        return (first, Math.Min(size, extent - first));
    }
}
