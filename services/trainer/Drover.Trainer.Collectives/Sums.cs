using System.Numerics;

namespace Drover.Trainer.Collectives;

/// <summary>Sums over the ranks, always in the order of the ranks: the same values give the same bits whoever adds them.</summary>
internal static unsafe class Sums
{
    /// <summary>target[i] = ((sources[0][i] + sources[1][i]) + sources[2][i]) + ... The target may be one of the sources.</summary>
    public static void Add(float* target, ReadOnlySpan<nint> sources, long count)
    {
        long i = 0;
        for (; i + Vector<float>.Count <= count; i += Vector<float>.Count)
        {
            var sum = Vector.Load((float*)sources[0] + i);
            for (int r = 1; r < sources.Length; r++)
                sum += Vector.Load((float*)sources[r] + i);
            sum.Store(target + i);
        }

        for (; i < count; i++)
        {
            float sum = ((float*)sources[0])[i];
            for (int r = 1; r < sources.Length; r++)
                sum += ((float*)sources[r])[i];
            target[i] = sum;
        }
    }
}
