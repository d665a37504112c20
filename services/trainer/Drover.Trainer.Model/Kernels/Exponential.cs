using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Drover.Trainer.Model.Kernels;

/// <summary>e^x of 16 fp32 values, within two units of the last place.</summary>
internal static class Exponential
{
    // Below it results are no longer normal numbers, above it infinite: neither matters to a softmax or a sigmoid.
    private const float Least = -87.3f;
    private const float Most = 88.3f;

    /// <summary>
    /// 2^n times a polynomial over [-ln 2 / 2, ln 2 / 2], with ln 2 in two parts (the coefficients are those of Cephes' expf, Moshier). Not a number for
    /// what is none.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Of(Vector512<float> x)
    {
        // The second operand is given back where one is not a number.
        x = Vector512.MinNative(Vector512.Create(Most), Vector512.MaxNative(Vector512.Create(Least), x));
        Vector512<float> n = Vector512.Round(x * Vector512.Create(1.44269504f));
        Vector512<float> r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-0.693359375f), x);
        r = Vector512.FusedMultiplyAdd(n, Vector512.Create(2.12194440e-4f), r);
        Vector512<float> p = Vector512.Create(1.9875691500e-4f);
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1.3981999507e-3f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(8.3334519073e-3f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(4.1665795894e-2f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1.6666665459e-1f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(5.0000001201e-1f));
        p = Vector512.FusedMultiplyAdd(p, r * r, r + Vector512<float>.One);
        return p * ((Vector512.ConvertToInt32Native(n) + Vector512.Create(127)) << 23).AsSingle();
    }
}
