namespace Drover.Trainer.Layout;

/// <summary>Which optimizer, as far as memory is concerned.</summary>
public enum OptimizerKind
{
    /// <summary>AdamW with both moments in fp32: 8 bytes a value.</summary>
    AdamW = 1,

    /// <summary>AdamW with both moments in 8 bits and a scale for each block of values: 2.03 bytes a value.</summary>
    AdamW8Bit = 2,
}

/// <summary>The blocks of 8-bit moments.</summary>
public static class MomentBlocks
{
    /// <summary>Values that share a scale. Shards are multiples of it, so that every number of ranks has the same blocks.</summary>
    public const int Size = 256;

    /// <summary>Values whose moments are in fp32 at a time, while they are updated.</summary>
    public const long WindowValues = 1 << 18;

    /// <summary>Values of each rank's shard of a block of weights.</summary>
    /// <param name="count">Values of the block.</param>
    /// <param name="ranks">That share it.</param>
    /// <param name="kind">Of the run.</param>
    public static long ShardOf(long count, long ranks, OptimizerKind kind)
    {
        long shard = (count + ranks - 1) / ranks;
        return kind == OptimizerKind.AdamW8Bit ? RoundUp(shard) : shard;
    }

    /// <summary>Bytes of both moments of a stretch.</summary>
    public static long Bytes(long values, OptimizerKind kind) =>
        kind == OptimizerKind.AdamW8Bit ? (2 * RoundUp(values)) + (2 * sizeof(float) * (RoundUp(values) / Size)) : 2 * sizeof(float) * values;

    /// <summary>What a layout cannot do with an optimizer.</summary>
    public static IEnumerable<string> Problems(OptimizerKind kind, ParallelSpec parallel)
    {
        if (!Enum.IsDefined(kind))
            yield return $"optimizer.kind {kind} is unknown";
        if (kind == OptimizerKind.AdamW8Bit && parallel.Placement == StatePlacement.Gemini)
            yield return "optimizer.kind ADAMW_8BIT does not work with the placement gemini, whose chunks hold master weights and moments as one fp32 piece; use zero1, zero2 or zero3 (offload_optimizer keeps the state in host memory there too)";
    }

    /// <summary>Whole blocks.</summary>
    public static long RoundUp(long values) => (values + Size - 1) / Size * Size;
}
