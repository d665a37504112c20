using System.Numerics;
using System.Security.Cryptography;
using System.Text;

namespace Drover.DataPrep.Quality;

/// <summary>
/// Signatures of texts: for each of 128 hash functions the smallest value over the text's shingles. The share of equal places of two
/// signatures estimates the Jaccard similarity of their shingle sets (Broder, 1997), with a standard error of at most 0.045.
/// A shingle is five units; a unit is a run of letters and digits in lower case, or one ideograph or kana.
/// </summary>
internal static class MinHash
{
    /// <summary>Places of a signature.</summary>
    public const int Places = 128;

    private const int ShingleUnits = 5;
    private const ulong Prime = 0x100000001b3;
    private static readonly uint[] Factors = [.. Enumerable.Range(0, Places).Select(i => (uint)Mix((ulong)i + 1) | 1)];
    private static readonly uint[] Addends = [.. Enumerable.Range(0, Places).Select(i => (uint)Mix((ulong)i + 1_000_003))];

    /// <summary>The signature of a text; two without any unit are the same.</summary>
    public static uint[] Of(string text)
    {
        uint[] signature = new uint[Places];
        Array.Fill(signature, uint.MaxValue);
        Span<ulong> last = stackalloc ulong[ShingleUnits];
        int units = 0;
        foreach (ulong unit in Units(text))
        {
            last[units++ % ShingleUnits] = unit;
            if (units >= ShingleUnits)
                Add(signature, Shingle(last, units));
        }

        if (units is > 0 and < ShingleUnits)
            Add(signature, Shingle(last[..units], units));
        return signature;
    }

    /// <summary>Share of equal places.</summary>
    public static double Similarity(ReadOnlySpan<uint> a, ReadOnlySpan<uint> b)
    {
        int equal = 0;
        for (int i = 0; i < Places; i++)
            equal += a[i] == b[i] ? 1 : 0;
        return equal / (double)Places;
    }

    /// <summary>
    /// Places of a band such that two texts of the threshold's similarity share a band with at least 95 % (locality-sensitive hashing:
    /// Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4); pairs that share one are compared whole.
    /// </summary>
    public static int RowsOfBand(double threshold)
    {
        int rows = 1;
        foreach (int candidate in new[] { 2, 4, 8, 16 })
        {
            if (1 - Math.Pow(1 - Math.Pow(threshold, candidate), Places / candidate) >= 0.95)
                rows = candidate;
        }

        return rows;
    }

    /// <summary>A value that two signatures share where they have the band in common.</summary>
    public static ulong Band(ReadOnlySpan<uint> signature, int band, int rows)
    {
        ulong hash = (ulong)band;
        foreach (uint place in signature.Slice(band * rows, rows))
            hash = Mix(hash ^ place);
        return hash;
    }

    /// <summary>A value that equal texts share, and other texts do not.</summary>
    public static UInt128 Exact(string text)
    {
        byte[] digest = SHA256.HashData(Encoding.UTF8.GetBytes(text));
        return new UInt128(BitConverter.ToUInt64(digest, 0), BitConverter.ToUInt64(digest, 8));
    }

    private static IEnumerable<ulong> Units(string text)
    {
        ulong word = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            bool isAlone = rune.Value >= 0x2e80 && Rune.IsLetter(rune) && !(rune.Value is >= 0xac00 and <= 0xd7a3);
            if (!isAlone && Rune.IsLetterOrDigit(rune))
            {
                word = (word ^ (ulong)Rune.ToLowerInvariant(rune).Value) * Prime + 1;
                continue;
            }

            if (word != 0)
                yield return word;
            word = 0;
            if (isAlone)
                yield return Mix((ulong)rune.Value);
        }

        if (word != 0)
            yield return word;
    }

    private static uint Shingle(ReadOnlySpan<ulong> ring, int units)
    {
        ulong hash = 0;
        for (int i = 0; i < ring.Length; i++)
            hash = Mix(hash + ring[(units + i) % ring.Length]);
        return (uint)(hash >> 32);
    }

    private static void Add(uint[] signature, uint shingle)
    {
        var value = new Vector<uint>(shingle);
        for (int i = 0; i < Places; i += Vector<uint>.Count)
            Vector.Min(new Vector<uint>(signature, i), (value * new Vector<uint>(Factors, i)) + new Vector<uint>(Addends, i)).CopyTo(signature, i);
    }

    // SplitMix64's finalizer (Steele, Lea and Flood, 2014).
    private static ulong Mix(ulong value)
    {
        value += 0x9e3779b97f4a7c15;
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
        value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
        return value ^ (value >> 31);
    }
}
