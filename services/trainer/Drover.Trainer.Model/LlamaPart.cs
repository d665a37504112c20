using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// A stretch of the list of blocks that a LLaMA is: embedding, decoder layers, head. The blocks only compute; who drives them
/// decides what is kept between forward and backward and what happens at the borders. A part is the whole model on one rank, a
/// stage of a pipeline on several.
/// </summary>
public sealed class LlamaPart : IDisposable
{
    private readonly BlockWeights? _embedding;
    private readonly BlockWeights? _head;
    private readonly IHalfBlockBorders _borders;
    private readonly IVocabularyRanks _vocabulary;

    /// <summary>Lays out the weights of a part; allocates none.</summary>
    /// <param name="config">The model.</param>
    /// <param name="precision">Of compute.</param>
    /// <param name="span">The blocks.</param>
    /// <param name="table">What this rank holds for the weights of a block; null for all of each.</param>
    /// <param name="borders">Of the half blocks; null where ranks do nothing there.</param>
    /// <param name="attention">The middle of the attention half; null for <see cref="FlashAttention.For"/>.</param>
    /// <param name="vocabulary">Who shares embedding and head; null for nobody.</param>
    /// <param name="lora">Adapters, as the table has them; null for none.</param>
    /// <param name="device">Where the part computes; null for the CPU.</param>
    public LlamaPart(LlamaConfig config, Precision precision, PartSpan span, WeightTable? table = null, IHalfBlockBorders? borders = null, IAttention? attention = null, IVocabularyRanks? vocabulary = null, LoraSpec? lora = null, Device? device = null)
    {
        table ??= WeightTable.Whole;
        _borders = borders ?? new WholeBorders();
        _vocabulary = vocabulary ?? new WholeVocabulary();
        Config = config;
        Span = span;
        Type = TypeOf(precision);
        Device = device ?? CPU;
        attention ??= FlashAttention.For(Device, Type, config.HeadSize);
        Rotary = new RotaryTables(config);
        var blocks = new List<BlockWeights>();
        BlockWeights Add(IEnumerable<(string Name, long[] Shape)> weights)
        {
            blocks.Add(new BlockWeights(table.Of(weights)));
            return blocks[^1];
        }

        if (span.HasEmbedding)
            _embedding = Add([(LlamaTensors.Embedding, [config.VocabSize, config.HiddenSize])]);
        Layers = [.. Enumerable.Range(span.FirstLayer, span.LayerCount).Select(i =>
        {
            return new DecoderLayer(config, Add(LlamaTensors.Layer(config).Select(w => (LlamaTensors.OfLayer(i, w.Name), w.Shape))), i, _borders, attention, lora);
        })];
        if (span.HasHead)
        {
            // Tied: the embedding of this part, or, at the other end of a pipeline, a second copy of it in a block of its own.
            HeadMatrixBlock = config.TieWordEmbeddings
                ? _embedding ?? Add([(LlamaTensors.Embedding, [config.VocabSize, config.HiddenSize])])
                : null;
            _head = Add(config.TieWordEmbeddings ? [(LlamaTensors.FinalNorm, [config.HiddenSize])] : [(LlamaTensors.FinalNorm, [config.HiddenSize]), (LlamaTensors.Head, [config.VocabSize, config.HiddenSize])]);
            HeadMatrixBlock ??= _head;
        }

        Blocks = blocks;
    }

    /// <summary>Its config.</summary>
    public LlamaConfig Config { get; }

    /// <summary>Which blocks.</summary>
    public PartSpan Span { get; }

    /// <summary>Type of compute weights and activations.</summary>
    public ScalarType Type { get; }

    /// <summary>Where it computes: weights, batches and all between lie there.</summary>
    public Device Device { get; }

    /// <summary>Rotary tables.</summary>
    public RotaryTables Rotary { get; }

    /// <summary>The weights: embedding, layers in order, a tied head's copy, head.</summary>
    public IReadOnlyList<BlockWeights> Blocks { get; }

    /// <summary>The decoder layers.</summary>
    public IReadOnlyList<DecoderLayer> Layers { get; }

    /// <summary>The block of the embedding, where the part has it.</summary>
    public BlockWeights EmbeddingBlock => _embedding ?? throw new InvalidOperationException("This part has no embedding.");

    /// <summary>The block of the last norm, where the part has it.</summary>
    public BlockWeights HeadBlock => _head ?? throw new InvalidOperationException("This part has no head.");

    /// <summary>The block that holds the matrix of the head: its own, the embedding's, or the copy of it; null where the part has no head.</summary>
    public BlockWeights? HeadMatrixBlock { get; }

    /// <summary>Name of the head's matrix.</summary>
    public string HeadMatrixName => Config.TieWordEmbeddings ? LlamaTensors.Embedding : LlamaTensors.Head;

    /// <summary>Type of compute weights and activations of a precision.</summary>
    public static ScalarType TypeOf(Precision precision) => precision switch
    {
        Precision.Bf16 => ScalarType.BFloat16,
        Precision.Fp16 => ScalarType.Float16,
        _ => ScalarType.Float32,
    };

    /// <summary>First block: [tokens, hidden].</summary>
    public Tensor Embed(TokenBatch batch)
    {
        using var scope = NewDisposeScope();
        Tensor matrix = EmbeddingBlock[LlamaTensors.Embedding];
        (Tensor rows, Tensor? isHere) = VocabularyRows.Locate(batch.Ids, _vocabulary, matrix.shape[0]);
        Tensor x = matrix.index_select(0, rows);
        if (isHere is not null)
            x.mul_(isHere.unsqueeze(1).to(Type));
        return _borders.Leave(x).MoveToOuterDisposeScope();
    }

    /// <summary>Adds the gradient of the embedding's rows to the block's flat gradient.</summary>
    public void EmbedBackward(TokenBatch batch, Tensor gradient, Tensor flat)
    {
        using var scope = NewDisposeScope();
        // Whether it is frozen is the same on every rank: all leave out the border, or none.
        (Tensor? matrix, long first) = GradientRowsOf(EmbeddingBlock, flat, LlamaTensors.Embedding);
        if (matrix is null)
            return;
        (Tensor rows, Tensor? isHere) = VocabularyRows.Locate(batch.Ids, _vocabulary, EmbeddingBlock.RowCountOf(LlamaTensors.Embedding), first, matrix.shape[0]);
        Tensor dx = _borders.LeaveGradient(gradient).to(ScalarType.Float32);
        if (matrix.shape[0] > 0)
            matrix.index_add_(0, rows, isHere is null ? dx : dx.mul(isHere.unsqueeze(1)), HeldScalars.One);
    }

    // The gradient of a weight, or of those of its rows that are trained by themselves, and the first of them; null where it is frozen.
    private static (Tensor? Gradient, long FirstRow) GradientRowsOf(BlockWeights block, Tensor flat, string name) => block.RowsOf(name) is { } rows
        ? (block.ViewOf(flat, rows.Name, rows.Name), rows.RowsOf!.First)
        : (block.GradientOf(flat, name, name), 0);

    /// <summary>
    /// Last block: the loss of the labelled tokens, and, where <paramref name="flat"/> is given, its backward pass.
    /// </summary>
    /// <param name="x">Residual stream after the last layer, [tokens, hidden].</param>
    /// <param name="batch">The micro-batch.</param>
    /// <param name="chunkTokens">Tokens of a slice of the head; 0 for all.</param>
    /// <param name="scale">1 / labels of the global step.</param>
    /// <param name="flat">Flat gradient of <see cref="HeadBlock"/>, added to; null for no backward pass.</param>
    /// <param name="matrixFlat">Flat gradient of <see cref="HeadMatrixBlock"/>.</param>
    /// <returns>The sum of losses in nats, a scalar in fp64, and the gradient of x.</returns>
    public (Tensor Loss, Tensor? Gradient) HeadLossOf(Tensor x, TokenBatch batch, int chunkTokens, double scale, Tensor? flat, Tensor? matrixFlat)
    {
        using var scope = NewDisposeScope();
        if (batch.LabelCount == 0 && !_vocabulary.IsCut)
            return (zeros([], ScalarType.Float64, x.device).MoveToOuterDisposeScope(), flat is null ? null : zeros_like(x).MoveToOuterDisposeScope());
        Tensor norm = HeadBlock[LlamaTensors.FinalNorm], matrix = HeadMatrixBlock![HeadMatrixName];
        (Tensor normed, Tensor rstd) = RmsNorm.Forward(x, norm, Config.RmsNormEps);
        Tensor entered = _borders.Enter(normed);
        Tensor hidden = entered.index_select(0, batch.Labelled);
        if (flat is null || matrixFlat is null)
            return (HeadLoss.Run(hidden, batch.Targets, matrix, _vocabulary, chunkTokens, scale, null, null).MoveToOuterDisposeScope(), null);
        Tensor hiddenGradient = empty_like(hidden);
        (Tensor? matrixGradient, long firstRow) = GradientRowsOf(HeadMatrixBlock, matrixFlat, HeadMatrixName);
        Tensor loss = HeadLoss.Run(hidden, batch.Targets, matrix, _vocabulary, chunkTokens, scale, matrixGradient, hiddenGradient, firstRow);
        Tensor enteredGradient = zeros_like(entered);
        enteredGradient.index_copy_(0, batch.Labelled, hiddenGradient);
        (Tensor dx, Tensor dw) = RmsNorm.Backward(_borders.EnterGradient(enteredGradient), x, rstd, norm);
        HeadBlock.GradientOf(flat, LlamaTensors.FinalNorm, LlamaTensors.FinalNorm)?.add_(dw, HeldScalars.One);
        return (loss.MoveToOuterDisposeScope(), dx.MoveToOuterDisposeScope());
    }

    /// <summary>A whole model without gradients: the normed hidden states, [tokens, hidden].</summary>
    /// <param name="batch">The tokens; with a cache that is not empty, the next one of each of its documents.</param>
    /// <param name="cache">Of the part's <see cref="CachedAttention"/>; null for none.</param>
    public Tensor Infer(TokenBatch batch, KeyValueCache? cache = null)
    {
        using var scope = NewDisposeScope();
        using var context = new BatchContext(batch, Rotary, Type);
        cache?.Begin(batch);
        Tensor x = Embed(batch);
        for (int i = 0; i < Layers.Count; i++)
        {
            cache?.EnterLayer(i);
            Tensor next = Layers[i].Forward(x, context, LayerParts.None).Output;
            x.Dispose();
            x = next;
        }

        cache?.End();

        return RmsNorm.Forward(x, HeadBlock[LlamaTensors.FinalNorm], Config.RmsNormEps).Result.MoveToOuterDisposeScope();
    }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (BlockWeights block in Blocks)
            block.Dispose();
    }
}
