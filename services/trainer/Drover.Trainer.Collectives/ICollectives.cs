namespace Drover.Trainer.Collectives;

/// <summary>
/// What the ranks of a run do together. Every rank calls the same operations in the same order with the same counts.
/// One thread of a rank drives it. Memory given by address must stay in place until the operation (or its handle) is done.
/// Failures of the library are <see cref="Drover.Errors.DroverException"/>.
/// </summary>
public interface ICollectives : IDisposable
{
    /// <summary>This rank, from 0.</summary>
    int Rank { get; }

    /// <summary>How many ranks there are.</summary>
    int WorldSize { get; }

    /// <summary>
    /// Sums fp32 values over the ranks, in place; every rank gets the same bits. Starts the work: the values are undefined until
    /// <see cref="ICollectiveHandle.Wait"/>, which must be called, in any order.
    /// </summary>
    /// <param name="data">Address of the first value.</param>
    /// <param name="count">Number of values.</param>
    ICollectiveHandle StartAllReduceSum(nint data, long count);

    /// <summary>Sums over the ranks, in place.</summary>
    void AllReduceSum(Span<double> values);

    /// <summary>The largest over the ranks, in place.</summary>
    void AllReduceMax(Span<double> values);

    /// <summary>Copies the root's bytes to every rank.</summary>
    void Broadcast(nint data, long bytes, int root);

    /// <summary>Puts the ranks' bytes one after the other, by rank, on every rank.</summary>
    /// <param name="source">This rank's bytes.</param>
    /// <param name="destination">Room for <see cref="WorldSize"/> times <paramref name="bytesPerRank"/>; does not overlap the source.</param>
    /// <param name="bytesPerRank">The same on every rank.</param>
    void AllGather(nint source, nint destination, long bytesPerRank);

    /// <summary>Sums fp32 values over the ranks; rank r keeps values [r, r + 1) * <paramref name="countPerRank"/> of the sum.</summary>
    /// <param name="source"><see cref="WorldSize"/> times <paramref name="countPerRank"/> values, left as they are.</param>
    /// <param name="destination">Room for <paramref name="countPerRank"/> values; does not overlap the source.</param>
    /// <param name="countPerRank">The same on every rank.</param>
    void ReduceScatterSum(nint source, nint destination, long countPerRank);

    /// <summary>Returns when every rank has called it.</summary>
    void Barrier();

    /// <summary>Ends every rank of the run now, because this one cannot go on. Does not return.</summary>
    void Abort(int exitCode);
}

/// <summary>An operation that was started.</summary>
public interface ICollectiveHandle
{
    /// <summary>Returns when the operation is done on this rank. Calling it again does nothing.</summary>
    void Wait();
}
