namespace Drover.Trainer.Layout;

/// <summary>Who decides where chunks live.</summary>
public enum GeminiPolicy
{
    /// <summary>Given fractions.</summary>
    Static = 0,

    /// <summary>A warm-up step measures use; then chunks live and move by their next use within the device's budget.</summary>
    Auto = 1,
}

/// <summary>Chunk-based heterogeneous memory (Fang et al., 2021, PatrickStar; ColossalAI's Gemini).</summary>
public sealed record GeminiSpec
{
    /// <summary>Values of a chunk, over all ranks of the data axis; rounded up to a multiple of 64 on each rank.</summary>
    public long ChunkValues { get; init; } = 32L << 20;

    /// <summary>Who decides.</summary>
    public GeminiPolicy Policy { get; init; }

    /// <summary>Bytes of device memory for everything counted; 0 for no bound.</summary>
    public long DeviceBudgetBytes { get; init; }

    /// <summary>Policy static: the part of the weights' chunks that lives in host memory, 0 to 1.</summary>
    public double OffloadWeightsFraction { get; init; }

    /// <summary>Policy static: the part of the optimizer's chunks that lives in host memory, 0 to 1.</summary>
    public double OffloadOptimizerFraction { get; init; } = 1;

    /// <summary>Every wrong field.</summary>
    public IEnumerable<string> Problems()
    {
        if (ChunkValues < 1)
            yield return $"gemini.chunk_values is {ChunkValues}";
        if (DeviceBudgetBytes < 0)
            yield return $"gemini.device_budget_bytes is {DeviceBudgetBytes}";
        if (OffloadWeightsFraction is not (>= 0 and <= 1))
            yield return $"gemini.offload_weights_fraction is {OffloadWeightsFraction}; give 0 to 1";
        if (OffloadOptimizerFraction is not (>= 0 and <= 1))
            yield return $"gemini.offload_optimizer_fraction is {OffloadOptimizerFraction}; give 0 to 1";
        if (Policy == GeminiPolicy.Auto && DeviceBudgetBytes == 0)
            yield return "gemini.device_budget_bytes is 0; the policy auto needs a budget to place chunks within";
    }
}
