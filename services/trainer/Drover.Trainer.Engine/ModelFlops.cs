using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Engine;

/// <summary>
/// Floating-point operations that a model asks for: two a weight and token in the products of the forward pass, attention by
/// what a causal mask leaves, and twice the forward again for the backward pass, once where a weight is frozen. What is recomputed is not
/// counted.
/// </summary>
public static class ModelFlops
{
    /// <summary>Of one optimizer step.</summary>
    /// <param name="config">The model.</param>
    /// <param name="tokens">Tokens of the step.</param>
    /// <param name="labels">Tokens that the head runs for.</param>
    /// <param name="squaredLengths">Sum of <see cref="SquaredLength"/> over the documents.</param>
    /// <param name="trained">Which part of the matrices is trained; null for all. What adapters add is not counted.</param>
    public static double OfStep(LlamaConfig config, double tokens, double labels, double squaredLengths, TrainedParts? trained = null)
    {
        (double ofLayers, double ofHead) = trained ?? new TrainedParts(1, 1);
        double layer = LlamaTensors.Layer(config).Where(w => w.Shape.Length == 2).Sum(w => (double)w.Shape[0] * w.Shape[1]);
        double attention = 2 * squaredLengths * config.NumAttentionHeads * config.HeadSize;
        double head = 2 * labels * config.VocabSize * (double)config.HiddenSize;
        return (config.NumHiddenLayers * (((2 + ofLayers) * 2 * tokens * layer) + (3 * attention))) + ((2 + ofHead) * head);
    }

    /// <summary>Twice the keys that the tokens of a document see, a layer on average: the square of its length where no window is shorter.</summary>
    public static double SquaredLength(LlamaConfig config, double length) =>
        Enumerable.Range(0, config.NumHiddenLayers).Average(i => config.WindowOf(i) is { } window && window < length ? (2 * length * window) - ((double)window * window) : length * length);

    /// <summary>Which part of the matrices of the layers, and of the head, a rule says is trained.</summary>
    public static TrainedParts PartsOf(LlamaConfig config, Func<string, bool> isTrained)
    {
        (string Name, double Count)[] layers = [.. LlamaTensors.All(config).Where(w => w.Shape.Length == 2 && w.Name is not (LlamaTensors.Embedding or LlamaTensors.Head)).Select(w => (w.Name, (double)w.Shape[0] * w.Shape[1]))];
        return new TrainedParts(layers.Where(w => isTrained(w.Name)).Sum(w => w.Count) / layers.Sum(w => w.Count), isTrained(config.TieWordEmbeddings ? LlamaTensors.Embedding : LlamaTensors.Head) ? 1 : 0);
    }
}

/// <summary>The parts of a model's matrices that are trained, 0 to 1.</summary>
/// <param name="Layers">Of the decoder layers.</param>
/// <param name="Head">Of the head.</param>
public sealed record TrainedParts(double Layers, double Head);
