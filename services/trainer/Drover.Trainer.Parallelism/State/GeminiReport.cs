namespace Drover.Trainer.Parallelism;

/// <summary>What Gemini did on this rank so far.</summary>
/// <param name="BudgetBytes">Device memory that it keeps within; 0 for no bound.</param>
/// <param name="PeakOfOthersBytes">Most device memory that everything but pieces of state took at a time.</param>
/// <param name="Evictions">Pieces that went to host memory because device memory was needed.</param>
/// <param name="Traffic">Bytes that crossed between device and host, by what they are.</param>
public sealed record GeminiReport(long BudgetBytes, long PeakOfOthersBytes, long Evictions, IReadOnlyList<PieceTraffic> Traffic)
{
    /// <summary>Bytes of all kinds that went to the device.</summary>
    public long ToDevice => Traffic.Sum(t => t.ToDevice);

    /// <summary>Bytes of all kinds that went to the host.</summary>
    public long ToHost => Traffic.Sum(t => t.ToHost);
}

/// <summary>Bytes that crossed between device and host.</summary>
/// <param name="Kind">Of what: weights, gradients, optimizer.</param>
/// <param name="ToDevice">Host to device.</param>
/// <param name="ToHost">Device to host.</param>
public sealed record PieceTraffic(MemoryClass Kind, long ToDevice, long ToHost);
