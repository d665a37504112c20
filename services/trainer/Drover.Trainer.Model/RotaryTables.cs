using Drover.Formats.HuggingFace;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Cosines and sines of the rotary embedding (Su et al., 2021), computed in fp32 as Hugging Face does and then cast to the
/// activations' type, with the scalings of <see cref="RopeType"/>.
/// </summary>
public sealed class RotaryTables
{
    private readonly LlamaConfig _config;
    private readonly RotaryScaling _scaling;
    private readonly float[] _frequencies;

    /// <summary>Reads the frequencies of a config.</summary>
    public RotaryTables(LlamaConfig config)
    {
        _config = config;
        _scaling = RotaryScaling.Of(config);
        double[] plain = Frequencies(config.RopeTheta);
        _frequencies = [.. plain.Select((f, i) => (float)(_scaling.Type switch
        {
            RopeType.Linear => f / _scaling.Factor,
            RopeType.Llama3 => Llama3(f),
            RopeType.Yarn => Yarn(f, i),
            _ => f,
        }))];
    }

    /// <summary>Tables of some tokens: cosines and sines, each [tokens, head size].</summary>
    /// <param name="positions">Of the tokens in their documents, [tokens].</param>
    /// <param name="documentLengths">
    /// Of the document of each token. Dynamic frequencies follow from it, so that they do not depend on what a document shares a row or a
    /// micro-batch with: those that transformers takes for the document alone.
    /// </param>
    /// <param name="type">Of the activations.</param>
    public (Tensor Cos, Tensor Sin) For(Tensor positions, IReadOnlyList<int> documentLengths, ScalarType type)
    {
        using var scope = NewDisposeScope();
        Tensor half = positions.to(ScalarType.Float32).unsqueeze(1) * FrequenciesOf(documentLengths, positions.device);
        Tensor angles = cat([half, half], -1);
        using TorchSharp.Scalar factor = _scaling.AttentionFactor;
        Tensor Table(Tensor values) => (_scaling.AttentionFactor == 1 ? values : values.mul(factor)).to(type).MoveToOuterDisposeScope();
        return (Table(angles.cos()), Table(angles.sin()));
    }

    // [1 or tokens, head size / 2].
    private Tensor FrequenciesOf(IReadOnlyList<int> documentLengths, Device device)
    {
        if (_scaling.Type != RopeType.Dynamic || documentLengths.Max() <= _config.MaxPositionEmbeddings)
            return tensor(_frequencies, device: device).unsqueeze(0);
        Dictionary<int, float[]> byLength = documentLengths.Distinct().ToDictionary(l => l, Dynamic);
        return tensor([.. documentLengths.SelectMany(l => byLength[l])], [documentLengths.Count, _frequencies.Length], device: device);
    }

    private double[] Frequencies(double theta)
    {
        double[] frequencies = new double[_config.HeadSize / 2];
        for (int i = 0; i < frequencies.Length; i++)
            frequencies[i] = (float)(1.0 / Math.Pow(theta, 2.0 * i / _config.HeadSize));
        return frequencies;
    }

    private float[] Dynamic(int length)
    {
        if (length <= _config.MaxPositionEmbeddings)
            return _frequencies;
        double size = _config.HeadSize, longer = (double)length / _config.MaxPositionEmbeddings;
        double theta = _config.RopeTheta * Math.Pow((_scaling.Factor * longer) - (_scaling.Factor - 1), size / (size - 2));
        return [.. Frequencies(theta).Select(f => (float)f)];
    }

    private double Llama3(double frequency)
    {
        (double low, double high) = (_scaling.LowFrequencyFactor, _scaling.HighFrequencyFactor);
        double wavelength = 2 * Math.PI / frequency;
        if (wavelength > _scaling.OriginalLength / low)
            return frequency / _scaling.Factor;
        if (wavelength < _scaling.OriginalLength / high)
            return frequency;
        double smooth = ((_scaling.OriginalLength / wavelength) - low) / (high - low);
        return ((1 - smooth) * frequency / _scaling.Factor) + (smooth * frequency);
    }

    // The ramp from frequencies that stay (0) to divided ones (1), over dims: its ends are the dims that turn so many times over the
    // original length.
    private double Yarn(double frequency, int dim)
    {
        double size = _config.HeadSize;
        double DimOf(double rotations) => size * Math.Log(_scaling.OriginalLength / (rotations * 2 * Math.PI)) / (2 * Math.Log(_config.RopeTheta));
        (double low, double high) = (DimOf(_scaling.BetaFast), DimOf(_scaling.BetaSlow));
        if (_scaling.Truncate)
            (low, high) = (Math.Floor(low), Math.Ceiling(high));
        (low, high) = (Math.Max(low, 0), Math.Min(high, size - 1));
        double ramp = Math.Clamp((dim - low) / (high == low ? 0.001 : high - low), 0, 1);
        return (ramp * frequency / _scaling.Factor) + ((1 - ramp) * frequency);
    }
}
