namespace Drover.Trainer.Engine;

/// <summary>
/// Random numbers as a pure function of a key and a counter, the same on every rank and layout.
/// Mixing by SplitMix64's finalizer (Steele, Lea and Flood, 2014).
/// </summary>
public static class CounterGenerator
{
    /// <summary>A 64-bit value of a key and a counter.</summary>
    public static ulong Mix(ulong key, ulong counter) => Finish(Finish(key + 0x9E3779B97F4A7C15UL) ^ (counter * 0xD1B54A32D192ED03UL));

    /// <summary>A key of a seed and a name.</summary>
    public static ulong KeyOf(long seed, string name)
    {
        ulong key = Finish((ulong)seed);
        foreach (char c in name)
            key = Mix(key, c);
        return key;
    }

    /// <summary>Fills values with normal(0, deviation): value i, counted from <paramref name="first"/>, depends on the key and i alone (Box and Muller, 1958).</summary>
    public static void FillNormal(Span<float> values, ulong key, double deviation, long first = 0)
    {
        for (int i = 0; i < values.Length; i++)
        {
            ulong counter = 2 * ((ulong)first + (ulong)i);
            double u = ((Mix(key, counter) >> 11) + 1) * (1.0 / (1UL << 53));
            double v = (Mix(key, counter + 1) >> 11) * (1.0 / (1UL << 53));
            values[i] = (float)(deviation * Math.Sqrt(-2 * Math.Log(u)) * Math.Cos(2 * Math.PI * v));
        }
    }

    /// <summary>Fills values uniform in [-bound, bound): value i, counted from <paramref name="first"/>, depends on the key and i alone.</summary>
    public static void FillUniform(Span<float> values, ulong key, double bound, long first = 0)
    {
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)(bound * (((Mix(key, (ulong)first + (ulong)i) >> 11) * (1.0 / (1UL << 52))) - 1));
    }

    private static ulong Finish(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }
}
