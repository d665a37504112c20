using Drover.Formats.HuggingFace;

namespace Drover.Formats.Adapters;

/// <summary>
/// Names and shapes of the tensors that LoRA adds to a model. They are PEFT's without its prefix, so that an adapter file is written
/// and read name by name.
/// </summary>
public static class AdapterTensors
{
    private const string A = ".lora_A.weight";
    private const string B = ".lora_B.weight";
    private const string Magnitude = ".lora_magnitude_vector";
    private const string Rows = ".token_adapter.trainable_tokens_delta";

    /// <summary>The module of a weight or bias: "model.layers.0.self_attn.q_proj".</summary>
    public static string ModuleOf(string weight) => weight[..weight.LastIndexOf('.')];

    /// <summary>A of a weight, [rank, in].</summary>
    public static string NameOfA(string weight) => ModuleOf(weight) + A;

    /// <summary>B of a weight, [out, rank].</summary>
    public static string NameOfB(string weight) => ModuleOf(weight) + B;

    /// <summary>DoRA's lengths of the rows of a weight, [out].</summary>
    public static string NameOfMagnitude(string weight) => ModuleOf(weight) + Magnitude;

    /// <summary>The rows of embedding or head that are trained by themselves, [rows, hidden]: they replace the model's.</summary>
    public static string NameOfRows(string weight) => ModuleOf(weight) + Rows;

    /// <summary>Whether a name is that of an A.</summary>
    public static bool IsA(string name) => name.EndsWith(A, StringComparison.Ordinal);

    /// <summary>Whether a name is that of a B.</summary>
    public static bool IsB(string name) => name.EndsWith(B, StringComparison.Ordinal);

    /// <summary>Whether a name is that of DoRA's lengths.</summary>
    public static bool IsMagnitude(string name) => name.EndsWith(Magnitude, StringComparison.Ordinal);

    /// <summary>Whether a name is that of trained rows.</summary>
    public static bool IsRows(string name) => name.EndsWith(Rows, StringComparison.Ordinal);

    /// <summary>Whether the model itself has no tensor of this name.</summary>
    public static bool IsAdded(string name) => IsA(name) || IsB(name) || IsMagnitude(name) || IsRows(name);

    /// <summary>The weight that an added tensor belongs to.</summary>
    public static string WeightOf(string name)
    {
        string suffix = new[] { A, B, Magnitude, Rows }.First(s => name.EndsWith(s, StringComparison.Ordinal));
        return name[..^suffix.Length] + ".weight";
    }

    /// <summary>Everything that an adapter of a model holds, with shapes: what is added, and what is trained whole.</summary>
    public static IEnumerable<(string Name, long[] Shape)> All(LoraSpec lora, LlamaConfig config)
    {
        foreach ((string name, long[] shape) in LlamaTensors.All(config))
        {
            if (lora.IsSaved(name))
                yield return (name, shape);
            foreach ((string Name, long[] Shape) added in Of(lora, name, shape))
                yield return added;
        }
    }

    /// <summary>What is added for one weight.</summary>
    public static IEnumerable<(string Name, long[] Shape)> Of(LoraSpec lora, string weight, long[] shape)
    {
        if (lora.HasTokenRows(weight))
            yield return (NameOfRows(weight), [shape[0] - lora.TokenRowsFrom, shape[1]]);
        if (!lora.IsTarget(weight))
            yield break;
        yield return (NameOfA(weight), [lora.Rank, shape[1]]);
        yield return (NameOfB(weight), [shape[0], lora.Rank]);
        if (lora.Dora)
            yield return (NameOfMagnitude(weight), [shape[0]]);
    }
}
