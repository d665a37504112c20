using Drover.Formats.HuggingFace;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Benchmarks;

/// <summary>What the weight products of a step cost alone: each of the three (forward, input's and weight's gradient) at its own shape.</summary>
internal sealed class MatrixProducts : IDisposable
{
    private readonly List<(Tensor Weight, Tensor X, Tensor Dy)> _tensors = [];
    private readonly TimedAlone _timed = new();

    /// <summary>Those of a model for some tokens.</summary>
    public MatrixProducts(LlamaConfig config, long tokens, Precision precision)
    {
        ScalarType type = LlamaPart.TypeOf(precision);
        foreach (long[] shape in LlamaTensors.Layer(config).Where(w => w.Shape.Length == 2).Select(w => w.Shape))
            Add(shape[0], shape[1], tokens, type, config.NumHiddenLayers);
        Add(config.VocabSize, config.HiddenSize, tokens, type, 1);
    }

    /// <summary>Seconds of all products of a step, from the medians of what was timed.</summary>
    public double SecondsOfStep => _timed.SecondsOfStep;

    /// <summary>Times each once.</summary>
    public void Time() => _timed.Time();

    /// <inheritdoc />
    public void Dispose() => _tensors.ForEach(t => Array.ForEach([t.Weight, t.X, t.Dy], x => x.Dispose()));

    private void Add(long rows, long columns, long tokens, ScalarType type, int times)
    {
        (Tensor weight, Tensor x, Tensor dy) = (randn(rows, columns).to(type), randn(tokens, columns).to(type), randn(tokens, rows).to(type));
        _tensors.Add((weight, x, dy));
        _timed.Add(times, () => x.mm(weight.t()));
        _timed.Add(times, () => dy.mm(weight));
        _timed.Add(times, () => dy.t().mm(x));
    }
}
