using System.Diagnostics;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>
/// Forward and backward of one micro-batch, block by block. The input of a block is cut off from the graph before it; the
/// block's backward is called with the gradient that the next block gave back. What happens at a border (recompute,
/// reduction) is decided here and not inside autograd.
/// </summary>
internal sealed class BlockPass(LlamaModel model, BlockOptimizer[] blocks, GradientReduction reduction, bool recompute, int headChunkTokens)
{
    /// <summary>Sum of the losses of this rank's labelled tokens since <see cref="Reset"/>, nats.</summary>
    public double LossSum { get; private set; }

    public double ForwardSeconds { get; private set; }

    public double BackwardSeconds { get; private set; }

    public void Reset() => (LossSum, ForwardSeconds, BackwardSeconds) = (0, 0, 0);

    public void WaitForReductions() => reduction.WaitAll();

    /// <summary>Runs a micro-batch; its gradients are added to the blocks' flat gradients.</summary>
    /// <param name="rows">The rows.</param>
    /// <param name="scale">1 / labels of the global step.</param>
    /// <param name="isLast">Whether no other micro-batch follows in this step: then reductions start.</param>
    public void Run(PackedRow[] rows, double scale, bool isLast)
    {
        using var scope = NewDisposeScope();
        using TokenBatch batch = TokenBatch.From(rows);
        long started = Stopwatch.GetTimestamp();
        (Tensor cos, Tensor sin) = model.Rotary(batch);
        Tensor[] inputs = new Tensor[model.LayerCount], outputs = new Tensor[model.LayerCount];
        Tensor x = Embed(batch);
        for (int i = 0; i < model.LayerCount; i++)
        {
            inputs[i] = x;
            outputs[i] = Forward(i, x, batch, cos, sin, keepGraph: !recompute);
            x = Border(outputs[i]);
        }

        long backward = Stopwatch.GetTimestamp();
        ForwardSeconds += Stopwatch.GetElapsedTime(started, backward).TotalSeconds;
        Tensor gradient = HeadBackward(x, batch, scale);
        if (isLast)
            reduction.Start(blocks[^1].Gradient);
        for (int i = model.LayerCount - 1; i >= 0; i--)
        {
            gradient = LayerBackward(i, inputs[i], outputs[i], gradient, batch, cos, sin);
            if (isLast)
                reduction.Start(blocks[i + 1].Gradient);
        }

        EmbeddingBackward(batch, gradient);
        if (isLast)
            reduction.Start(blocks[0].Gradient);
        BackwardSeconds += Stopwatch.GetElapsedTime(backward).TotalSeconds;
    }

    // A block's input: the same values, and the end of the next block's graph.
    private static Tensor Border(Tensor output) => output.detach().requires_grad_(true);

    private Tensor Embed(TokenBatch batch)
    {
        using var _ = no_grad();
        return Border(model.Embed(batch));
    }

    private Tensor Forward(int layer, Tensor input, TokenBatch batch, Tensor cos, Tensor sin, bool keepGraph)
    {
        using var mode = set_grad_enabled(keepGraph);
        return model.Layer(layer, input, batch, cos, sin);
    }

    private Tensor LayerBackward(int layer, Tensor input, Tensor output, Tensor gradient, TokenBatch batch, Tensor cos, Tensor sin)
    {
        Tensor graph = output;
        if (recompute)
        {
            output.Dispose();
            graph = Forward(layer, input, batch, cos, sin, keepGraph: true);
        }

        graph.backward([gradient]);
        Tensor given = input.grad!.detach();
        blocks[layer + 1].Weights.MoveGradientsTo(blocks[layer + 1].Gradient);
        graph.Dispose();
        gradient.Dispose();
        input.Dispose();
        return given;
    }

    // The last norm through autograd, the head's matrix and the loss by hand (HeadLoss).
    private Tensor HeadBackward(Tensor x, TokenBatch batch, double scale)
    {
        if (batch.LabelCount == 0)
            return zeros_like(x).detach();
        Tensor hidden = model.FinalNorm(x.index_select(0, batch.Labelled));
        Tensor hiddenGradient = empty_like(hidden).detach();
        BlockOptimizer owner = model.Config.TieWordEmbeddings ? blocks[0] : blocks[^1];
        Tensor matrixGradient = owner.GradientOf(model.HeadMatrixName);
        LossSum += HeadLoss.Run(hidden.detach(), batch.Targets, model.HeadMatrix.detach(), headChunkTokens, scale, matrixGradient, hiddenGradient);
        hidden.backward([hiddenGradient]);
        blocks[^1].Weights.MoveGradientsTo(blocks[^1].Gradient);
        return x.grad!.detach();
    }

    private void EmbeddingBackward(TokenBatch batch, Tensor gradient)
    {
        using var scope = NewDisposeScope();
        using var _ = no_grad();
        blocks[0].GradientOf(LlamaTensors.Embedding).index_add_(0, batch.Ids, gradient.to(ScalarType.Float32), 1);
    }
}
