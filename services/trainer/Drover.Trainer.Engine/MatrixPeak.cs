using System.Diagnostics;
using Drover.Trainer.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>What this rank's threads, or its GPU, reach at most: the speed of a square matrix product, which model FLOP/s are compared with (MFU).</summary>
public static class MatrixPeak
{
    private const int Repetitions = 6;

    /// <summary>FLOP/s of the fastest of a few products; takes a few hundredths of a second.</summary>
    public static double Measure(Precision precision, Device? device = null)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        ScalarType type = LlamaPart.TypeOf(precision);
        // fp16 is emulated on most CPUs: a large product would take seconds.
        bool isGpu = device?.type == DeviceType.CUDA;
        long size = isGpu ? 8192 : precision == Precision.Fp16 ? 256 : 1024;
        Tensor a = ones([size, size], type, device ?? CPU), b = ones([size, size], type, device ?? CPU);
        double fastest = double.MaxValue;
        for (int i = 0; i < Repetitions; i++)
        {
            long started = Stopwatch.GetTimestamp();
            a.mm(b).Dispose();
            if (isGpu)
                cuda.synchronize();
            fastest = Math.Min(fastest, Stopwatch.GetElapsedTime(started).TotalSeconds);
        }

        return 2.0 * size * size * size / fastest;
    }
}
