namespace Drover.Jobs;

/// <summary>What the jobs of a service share.</summary>
/// <param name="Cores">0: not counted.</param>
/// <param name="MemoryBytes">0: not counted.</param>
public sealed record JobCapacity(int Cores, long MemoryBytes)
{
    /// <summary>Nothing is counted but the slots.</summary>
    public static JobCapacity Unlimited { get; } = new(0, 0);
}
