namespace Drover.Trainer.Collectives;

/// <summary>Shapes in which callers most often need the operations.</summary>
public static class CollectiveConveniences
{
    /// <summary>Sums a span of fp32 values over the ranks, in place, and waits.</summary>
    public static unsafe void AllReduceSum(this ICollectives collectives, Span<float> values)
    {
        fixed (float* data = values)
            collectives.StartAllReduceSum((nint)data, values.Length).Wait();
    }

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

    /// <summary>Every rank's bytes, of any length, on every rank.</summary>
    public static unsafe byte[][] GatherBytes(this ICollectives collectives, ReadOnlySpan<byte> mine)
    {
        var lengths = new double[collectives.WorldSize];
        lengths[collectives.Rank] = mine.Length;
        collectives.AllReduceSum(lengths);
        int longest = (int)lengths.Max();
        if (longest == 0)
            return [.. lengths.Select(_ => Array.Empty<byte>())];
        byte[] padded = new byte[longest];
        mine.CopyTo(padded);
        byte[] all = new byte[checked(longest * collectives.WorldSize)];
        fixed (byte* source = padded, destination = all)
            collectives.AllGather((nint)source, (nint)destination, longest);
        return [.. Enumerable.Range(0, collectives.WorldSize).Select(r => all.AsSpan(r * longest, (int)lengths[r]).ToArray())];
    }
}
