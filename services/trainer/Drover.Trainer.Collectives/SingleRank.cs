namespace Drover.Trainer.Collectives;

/// <summary>A run of one rank: every operation is a copy or nothing. Needs no library.</summary>
public sealed class SingleRank : ICollectives, ICollectiveHandle
{
    /// <inheritdoc />
    public int Rank => 0;

    /// <inheritdoc />
    public int WorldSize => 1;

    /// <inheritdoc />
    public ICollectiveHandle StartAllReduceSum(nint data, long count) => this;

    /// <inheritdoc />
    public void AllReduceSum(Span<double> values)
    {
    }

    /// <inheritdoc />
    public void AllReduceMax(Span<double> values)
    {
    }

    /// <inheritdoc />
    public void Broadcast(nint data, long bytes, int root) => ArgumentOutOfRangeException.ThrowIfNotEqual(root, 0);

    /// <inheritdoc />
    public unsafe void AllGather(nint source, nint destination, long bytesPerRank) =>
        Buffer.MemoryCopy((void*)source, (void*)destination, bytesPerRank, bytesPerRank);

    /// <inheritdoc />
    public void ReduceScatterSum(nint source, nint destination, long countPerRank) =>
        AllGather(source, destination, countPerRank * sizeof(float));

    /// <inheritdoc />
    public void Barrier()
    {
    }

    /// <inheritdoc />
    public void Abort(int exitCode) => Environment.Exit(exitCode);

    void ICollectiveHandle.Wait()
    {
    }

    /// <inheritdoc />
    public void Dispose()
    {
    }
}
