using System.Diagnostics;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Benchmarks;

/// <summary>What the weight products of a step cost alone: each of the three (forward, input's and weight's gradient) at its own shape.</summary>
internal static class MatrixProducts
{
    private const int Repetitions = 3;

    /// <summary>Seconds of all of them, from the fastest of a few repetitions of each.</summary>
    public static double SecondsOfStep(LlamaConfig config, long tokens, Precision precision)
    {
        using var noGrad = no_grad();
        ScalarType type = LlamaPart.TypeOf(precision);
        double layer = LlamaTensors.Layer(config).Where(w => w.Shape.Length == 2).Sum(w => Seconds(w.Shape[0], w.Shape[1], tokens, type));
        return (layer * config.NumHiddenLayers) + Seconds(config.VocabSize, config.HiddenSize, tokens, type);
    }

    private static double Seconds(long rows, long columns, long tokens, ScalarType type)
    {
        using var scope = NewDisposeScope();
        Tensor weight = randn(rows, columns).to(type), x = randn(tokens, columns).to(type), dy = randn(tokens, rows).to(type);
        return Fastest(() => x.mm(weight.t())) + Fastest(() => dy.mm(weight)) + Fastest(() => dy.t().mm(x));
    }

    internal static double Fastest(Action work)
    {
        double best = double.MaxValue;
        for (int i = 0; i < Repetitions; i++)
        {
            using var scope = NewDisposeScope();
            long started = Stopwatch.GetTimestamp();
            work();
            best = Math.Min(best, Stopwatch.GetElapsedTime(started).TotalSeconds);
        }

        return best;
    }
}
