using System.Text.Json;
using Drover.Errors;
using Drover.Formats.HuggingFace;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Cosines and sines of the rotary embedding (Su et al., 2021), computed in fp32 as Hugging Face does and then cast to the
/// activations' type. Scaling: none, "linear", and LLaMA 3.1's "llama3".
/// </summary>
public sealed class RotaryTables
{
    private readonly float[] _frequencies;

    /// <summary>Reads the frequencies of a config.</summary>
    /// <exception cref="DroverException">Unimplemented, naming a scaling that is not supported.</exception>
    public RotaryTables(LlamaConfig config)
    {
        _frequencies = new float[config.HeadSize / 2];
        for (int i = 0; i < _frequencies.Length; i++)
            _frequencies[i] = (float)(1.0 / Math.Pow(config.RopeTheta, 2.0 * i / config.HeadSize));
        if (config.RopeScaling is { ValueKind: JsonValueKind.Object } scaling)
            Scale(scaling);
    }

    /// <summary>Tables for some positions: cosines and sines, each [tokens, head size].</summary>
    public (Tensor Cos, Tensor Sin) For(Tensor positions, ScalarType type)
    {
        using var scope = NewDisposeScope();
        Tensor half = positions.to(ScalarType.Float32).unsqueeze(1) * tensor(_frequencies, device: positions.device).unsqueeze(0);
        Tensor angles = cat([half, half], -1);
        return (angles.cos().to(type).MoveToOuterDisposeScope(), angles.sin().to(type).MoveToOuterDisposeScope());
    }

    private void Scale(JsonElement scaling)
    {
        string type = (scaling.TryGetProperty("rope_type", out JsonElement t) || scaling.TryGetProperty("type", out t) ? t.GetString() : null) ?? "default";
        double Number(string name) => scaling.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number
            ? value.GetDouble()
            : throw new DroverException(FailureCode.InvalidArgument, "INVALID_ROPE_SCALING", $"config.json: rope_scaling of type '{type}' lacks '{name}'.");
        switch (type)
        {
            case "default":
                return;
            case "linear":
                Transform(f => f / Number("factor"));
                return;
            case "llama3":
                double factor = Number("factor"), low = Number("low_freq_factor"), high = Number("high_freq_factor"), original = Number("original_max_position_embeddings");
                Transform(f =>
                {
                    double wavelength = 2 * Math.PI / f;
                    if (wavelength > original / low)
                        return f / factor;
                    if (wavelength < original / high)
                        return f;
                    double smooth = ((original / wavelength) - low) / (high - low);
                    return ((1 - smooth) * f / factor) + (smooth * f);
                });
                return;
            default:
                throw new DroverException(FailureCode.Unimplemented, "UNSUPPORTED_ROPE_SCALING", $"config.json: rope_scaling of type '{type}' is not supported; there are default, linear and llama3.");
        }
    }

    private void Transform(Func<double, double> change)
    {
        for (int i = 0; i < _frequencies.Length; i++)
            _frequencies[i] = (float)change(_frequencies[i]);
    }
}
