using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Engine;

/// <summary>
/// Floating-point operations that a model asks for: two a weight and token in the products of the forward pass, attention by
/// what a causal mask leaves, and twice the forward again for the backward pass. What is recomputed is not counted.
/// </summary>
public static class ModelFlops
{
    /// <summary>Of one optimizer step.</summary>
    /// <param name="config">The model.</param>
    /// <param name="tokens">Tokens of the step.</param>
    /// <param name="labels">Tokens that the head runs for.</param>
    /// <param name="squaredLengths">Sum of <see cref="SquaredLength"/> over the documents.</param>
    public static double OfStep(LlamaConfig config, double tokens, double labels, double squaredLengths)
    {
        double layer = LlamaTensors.Layer(config).Where(w => w.Shape.Length == 2).Sum(w => (double)w.Shape[0] * w.Shape[1]);
        double attention = 2 * squaredLengths * config.NumAttentionHeads * config.HeadSize;
        double head = 2 * labels * config.VocabSize * (double)config.HiddenSize;
        return 3 * ((config.NumHiddenLayers * ((2 * tokens * layer) + attention)) + head);
    }

    /// <summary>Twice the keys that the tokens of a document see, a layer on average: the square of its length where no window is shorter.</summary>
    public static double SquaredLength(LlamaConfig config, double length) =>
        Enumerable.Range(0, config.NumHiddenLayers).Average(i => config.WindowOf(i) is { } window && window < length ? (2 * length * window) - ((double)window * window) : length * length);
}
