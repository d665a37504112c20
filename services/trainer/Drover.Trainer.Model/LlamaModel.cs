using Drover.Formats.HuggingFace;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// A LLaMA as a list of blocks: embedding, decoder layers, head. The blocks only compute; the engine decides what is kept
/// between forward and backward and what happens at the borders.
/// </summary>
public sealed class LlamaModel : IDisposable
{
    private readonly DecoderLayer[] _layers;
    private readonly RotaryTables _rotary;
    private readonly ScalarType _type;

    /// <summary>Allocates the weights, zero.</summary>
    public LlamaModel(LlamaConfig config, Precision precision)
    {
        Config = config;
        _type = precision == Precision.Bf16 ? ScalarType.BFloat16 : ScalarType.Float32;
        _rotary = new RotaryTables(config);
        var blocks = new List<BlockWeights> { new([(LlamaTensors.Embedding, [config.VocabSize, config.HiddenSize])], precision) };
        _layers = new DecoderLayer[config.NumHiddenLayers];
        for (int i = 0; i < _layers.Length; i++)
        {
            string prefix = $"model.layers.{i}.";
            var weights = new BlockWeights([.. LlamaTensors.Layer(config).Select(w => (prefix + w.Name, w.Shape))], precision);
            blocks.Add(weights);
            _layers[i] = new DecoderLayer(config, weights, prefix);
        }

        List<(string, long[])> head = [(LlamaTensors.FinalNorm, [config.HiddenSize])];
        if (!config.TieWordEmbeddings)
            head.Add((LlamaTensors.Head, [config.VocabSize, config.HiddenSize]));
        blocks.Add(new BlockWeights(head, precision));
        Blocks = blocks;
    }

    /// <summary>Its config.</summary>
    public LlamaConfig Config { get; }

    /// <summary>The weights: embedding, layers in order, head.</summary>
    public IReadOnlyList<BlockWeights> Blocks { get; }

    /// <summary>Decoder layers.</summary>
    public int LayerCount => _layers.Length;

    /// <summary>The block that holds the matrix of the head: its own, or the embedding's when they are tied.</summary>
    public BlockWeights HeadMatrixBlock => Config.TieWordEmbeddings ? Blocks[0] : Blocks[^1];

    /// <summary>Name of the head's matrix.</summary>
    public string HeadMatrixName => Config.TieWordEmbeddings ? LlamaTensors.Embedding : LlamaTensors.Head;

    /// <summary>The head's matrix, [vocab, hidden].</summary>
    public Tensor HeadMatrix => HeadMatrixBlock[HeadMatrixName];

    /// <summary>Rotary tables of a batch, in the activations' type.</summary>
    public (Tensor Cos, Tensor Sin) Rotary(TokenBatch batch) => _rotary.For(batch.Positions, _type);

    /// <summary>First block: [tokens, hidden].</summary>
    public Tensor Embed(TokenBatch batch) => Blocks[0][LlamaTensors.Embedding].index_select(0, batch.Ids);

    /// <summary>Decoder layer <paramref name="index"/>: [tokens, hidden] to the same.</summary>
    public Tensor Layer(int index, Tensor x, TokenBatch batch, Tensor cos, Tensor sin) => _layers[index].Forward(x, batch, cos, sin);

    /// <summary>The last norm: [tokens, hidden] to the same.</summary>
    public Tensor FinalNorm(Tensor x) => AtenScripts.RmsNorm(x, Blocks[^1][LlamaTensors.FinalNorm], Config.RmsNormEps);

    /// <summary>All layers without gradients: the normed hidden states, [tokens, hidden].</summary>
    public Tensor Infer(TokenBatch batch)
    {
        using var scope = NewDisposeScope();
        using var _ = no_grad();
        (Tensor cos, Tensor sin) = Rotary(batch);
        Tensor x = Embed(batch);
        for (int i = 0; i < _layers.Length; i++)
        {
            Tensor next = Layer(i, x, batch, cos, sin);
            x.Dispose();
            x = next;
        }

        return FinalNorm(x).MoveToOuterDisposeScope();
    }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (BlockWeights block in Blocks)
            block.Dispose();
    }
}
