namespace Drover.Trainer.Collectives;

/// <summary>
/// What the ranks of one group do together. The first group is the world; <see cref="Split"/> makes smaller ones.
/// <para>
/// Every rank of a group starts the group's operations in the same order with the same counts: they match by that order, and a send
/// matches a receive by (from, tag) in order. Several operations of several groups may be in flight at once and may be waited for in
/// any order; a started operation goes on while the rank computes. Memory given by address stays in place until its handle has been
/// waited for. One thread of a rank drives all its groups.
/// </para>
/// <para>Failures are <see cref="Drover.Errors.DroverException"/>: Unavailable where a rank or the library is gone (<c>RANK_LOST</c>,
/// <c>COLLECTIVE_FAILED</c>); Internal where ranks started operations that do not match (<c>COLLECTIVE_MISMATCH</c>).</para>
/// </summary>
public interface ICollectives : IDisposable
{
    /// <summary>This rank within the group, from 0.</summary>
    int Rank { get; }

    /// <summary>How many ranks the group has.</summary>
    int WorldSize { get; }

    /// <summary><c>world</c> for the first group, else the name given to <see cref="Split"/>.</summary>
    string Axis { get; }

    /// <summary>Counts what this rank moves: one counter for all groups that were split from the same world.</summary>
    TrafficCounter Traffic { get; }

    /// <summary>
    /// Ranks that give the same color form a group, in the order of their ranks here. Every rank of this group calls it, in the same
    /// order as its other operations; it waits for them. Disposing the new group frees it; it does not outlive the world.
    /// </summary>
    /// <param name="axis">Its name in messages and in <see cref="Traffic"/>; the same on every rank.</param>
    /// <param name="color">0 or more.</param>
    ICollectives Split(string axis, int color);

    /// <summary>Sums fp32 values over the ranks, in place; every rank gets the same bits.</summary>
    /// <param name="data">Address of the first value; undefined until the handle was waited for.</param>
    /// <param name="count">Number of values, the same on every rank.</param>
    ICollectiveHandle StartAllReduceSum(nint data, long count);

    /// <summary>The largest fp32 value over the ranks, in place.</summary>
    /// <param name="data">Address of the first value; undefined until the handle was waited for.</param>
    /// <param name="count">Number of values, the same on every rank.</param>
    ICollectiveHandle StartAllReduceMax(nint data, long count);

    /// <summary>Sums fp32 values over the ranks; rank r keeps values [r, r + 1) * <paramref name="countPerRank"/> of the sum.</summary>
    /// <param name="source"><see cref="WorldSize"/> times <paramref name="countPerRank"/> values, left as they are unless in place.</param>
    /// <param name="destination">
    /// Room for <paramref name="countPerRank"/> values. Either this rank's own part of the source (in place: the rest of the source is
    /// undefined afterwards) or without overlap.
    /// </param>
    /// <param name="countPerRank">The same on every rank.</param>
    ICollectiveHandle StartReduceScatterSum(nint source, nint destination, long countPerRank);

    /// <summary>Puts the ranks' bytes one after the other, by rank, on every rank.</summary>
    /// <param name="source">This rank's bytes: its own part of the destination (in place) or without overlap.</param>
    /// <param name="destination">Room for <see cref="WorldSize"/> times <paramref name="bytesPerRank"/>.</param>
    /// <param name="bytesPerRank">The same on every rank.</param>
    ICollectiveHandle StartAllGather(nint source, nint destination, long bytesPerRank);

    /// <summary>Part r of the source goes to rank r, whose part from here it becomes. Parts lie one after the other, by rank.</summary>
    /// <param name="source">The sum of <paramref name="sendBytes"/> bytes.</param>
    /// <param name="destination">Room for the sum of <paramref name="receiveBytes"/> bytes; does not overlap the source.</param>
    /// <param name="sendBytes">Bytes for each rank. Copied; may be 0.</param>
    /// <param name="receiveBytes">Bytes from each rank: what that rank sends here.</param>
    ICollectiveHandle StartAllToAll(nint source, nint destination, ReadOnlySpan<long> sendBytes, ReadOnlySpan<long> receiveBytes);

    /// <summary>Sends bytes to one rank of the group. Whether the handle waits for the receiver depends on the size and the library.</summary>
    /// <param name="data">Left as it is.</param>
    /// <param name="bytes">The same as in the matching receive.</param>
    /// <param name="to">A rank of this group.</param>
    /// <param name="tag">0 to 2^30 - 1.</param>
    ICollectiveHandle StartSend(nint data, long bytes, int to, int tag);

    /// <summary>Receives what <paramref name="from"/> sends here with this tag; several with one tag in the order of the sends.</summary>
    /// <param name="data">Room for <paramref name="bytes"/>.</param>
    /// <param name="bytes">The same as in the matching send.</param>
    /// <param name="from">A rank of this group.</param>
    /// <param name="tag">0 to 2^30 - 1.</param>
    ICollectiveHandle StartReceive(nint data, long bytes, int from, int tag);

    /// <summary>Sums over the ranks, in place; every rank gets the same bits.</summary>
    void AllReduceSum(Span<double> values);

    /// <summary>The largest over the ranks, in place.</summary>
    void AllReduceMax(Span<double> values);

    /// <summary>Copies the root's bytes to every rank.</summary>
    void Broadcast(nint data, long bytes, int root);

    /// <summary>Returns when every rank has called it.</summary>
    void Barrier();

    /// <summary>Ends every rank of the run, not only of the group, now, because this one cannot go on. Does not return.</summary>
    void Abort(int exitCode);
}

/// <summary>An operation that was started.</summary>
public interface ICollectiveHandle
{
    /// <summary>Returns when the operation is done on this rank. Calling it again does nothing.</summary>
    /// <exception cref="Drover.Errors.DroverException">The operation cannot be done; see <see cref="ICollectives"/>.</exception>
    void Wait();
}
