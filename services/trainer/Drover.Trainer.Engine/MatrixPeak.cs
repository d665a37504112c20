using System.Diagnostics;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>What this rank's threads reach at most: the speed of a square matrix product, which model FLOP/s are compared with (MFU).</summary>
public static class MatrixPeak
{
    private const int Repetitions = 6;

    /// <summary>FLOP/s of the fastest of a few products; takes a few hundredths of a second.</summary>
    public static double Measure(Precision precision)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        ScalarType type = precision switch
        {
            Precision.Bf16 => ScalarType.BFloat16,
            Precision.Fp16 => ScalarType.Float16,
            _ => ScalarType.Float32,
        };
        // fp16 is emulated on most CPUs: a large product would take seconds.
        long size = precision == Precision.Fp16 ? 256 : 1024;
        Tensor a = ones([size, size], type), b = ones([size, size], type);
        double fastest = double.MaxValue;
        for (int i = 0; i < Repetitions; i++)
        {
            long started = Stopwatch.GetTimestamp();
            a.mm(b).Dispose();
            fastest = Math.Min(fastest, Stopwatch.GetElapsedTime(started).TotalSeconds);
        }

        return 2.0 * size * size * size / fastest;
    }
}
