namespace Drover.Trainer.Collectives;

/// <summary>Operations that are started and waited for, and shapes in which callers most often need them.</summary>
public static unsafe class CollectiveConveniences
{
    /// <summary>Sums a span of fp32 values over the ranks, in place, and waits.</summary>
    public static void AllReduceSum(this ICollectives collectives, Span<float> values)
    {
        fixed (float* data = values)
            collectives.StartAllReduceSum((nint)data, values.Length).Wait();
    }

    /// <summary>The largest of fp32 values over the ranks, in place, and waits.</summary>
    public static void AllReduceMax(this ICollectives collectives, Span<float> values)
    {
        fixed (float* data = values)
            collectives.StartAllReduceMax((nint)data, values.Length).Wait();
    }

    /// <summary><see cref="ICollectives.StartReduceScatterSum"/> and waits.</summary>
    public static void ReduceScatterSum(this ICollectives collectives, nint source, nint destination, long countPerRank) =>
        collectives.StartReduceScatterSum(source, destination, countPerRank).Wait();

    /// <summary><see cref="ICollectives.StartAllGather"/> and waits.</summary>
    public static void AllGather(this ICollectives collectives, nint source, nint destination, long bytesPerRank) =>
        collectives.StartAllGather(source, destination, bytesPerRank).Wait();

    /// <summary><see cref="ICollectives.StartAllToAll"/> and waits.</summary>
    public static void AllToAll(this ICollectives collectives, nint source, nint destination, ReadOnlySpan<long> sendBytes, ReadOnlySpan<long> receiveBytes) =>
        collectives.StartAllToAll(source, destination, sendBytes, receiveBytes).Wait();

    /// <summary><see cref="ICollectives.StartSend"/> and waits: where both ends send first, start instead.</summary>
    public static void Send(this ICollectives collectives, nint data, long bytes, int to, int tag) => collectives.StartSend(data, bytes, to, tag).Wait();

    /// <summary><see cref="ICollectives.StartReceive"/> and waits.</summary>
    public static void Receive(this ICollectives collectives, nint data, long bytes, int from, int tag) => collectives.StartReceive(data, bytes, from, tag).Wait();

    /// <summary>The sum of one number.</summary>
    public static double Sum(this ICollectives collectives, double value)
    {
        collectives.AllReduceSum(new Span<double>(ref value));
        return value;
    }

    /// <summary>The largest of one number.</summary>
    public static double Max(this ICollectives collectives, double value)
    {
        collectives.AllReduceMax(new Span<double>(ref value));
        return value;
    }

    /// <summary>Every rank's bytes, of any length up to 2 GB together, on every rank.</summary>
    public static byte[][] GatherBytes(this ICollectives collectives, ReadOnlySpan<byte> mine)
    {
        long[] lengths = new long[collectives.WorldSize];
        long length = mine.Length;
        fixed (long* all = lengths)
            collectives.AllGather((nint)(&length), (nint)all, sizeof(long));
        int longest = (int)lengths.Max();
        if (longest == 0)
            return [.. lengths.Select(_ => Array.Empty<byte>())];
        byte[] padded = new byte[longest];
        mine.CopyTo(padded);
        byte[] everything = new byte[checked(longest * collectives.WorldSize)];
        fixed (byte* source = padded, destination = everything)
            collectives.AllGather((nint)source, (nint)destination, longest);
        return [.. lengths.Select((l, r) => everything.AsSpan(r * longest, (int)l).ToArray())];
    }
}
