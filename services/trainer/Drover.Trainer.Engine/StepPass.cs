using System.Diagnostics;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>
/// Forward and backward passes of a step on this rank, in the order of the pipeline schedule (of one rank: a micro-batch forward, the
/// same backward, the next). Drives every block itself: brings its weights here, runs it, and hands its gradient on; so every strategy is
/// a rule about what happens at these borders.
/// </summary>
internal sealed class StepPass(LlamaPart[] parts, IReadOnlyDictionary<BlockWeights, BlockState> states, RankGrid grid, EngineSpec spec, MemoryLedger ledger)
{
    private readonly EmbeddingNoise _noise = new(spec.NeftuneAlpha, spec.Seed);
    private readonly PipelineLinks _links = new(grid, parts.Length, parts[0].Device);
    private readonly Dictionary<int, Passage> _passages = [];
    private readonly Queue<(int MicroBatch, Tensor Loss)> _losses = new();
    private readonly int[] _backwardsLeft = new int[parts.Length];
    private BlockState? _reducing;
    private long _keptPerToken;

    /// <summary>What is told of each span; null for nobody.</summary>
    public StepTrace? Trace { get; set; }

    /// <summary>Sum of the losses of the labelled tokens that this rank's head saw in the step, nats; after <see cref="ReadLosses"/>.</summary>
    public double LossSum { get; private set; }

    /// <summary>The same by micro-batch, where the head is on this rank.</summary>
    public Dictionary<int, double> Losses { get; } = [];

    public double ForwardSeconds { get; private set; }

    public double BackwardSeconds { get; private set; }

    /// <summary>Runs all micro-batches of a step; gradients are in the states afterwards, their reductions started.</summary>
    /// <param name="microBatches">Of this rank's replica.</param>
    /// <param name="scale">1 / labels of the global step, times the loss scale.</param>
    /// <param name="step">From 1.</param>
    public void Run(IReadOnlyList<MicroBatch> microBatches, double scale, long step)
    {
        (LossSum, ForwardSeconds, BackwardSeconds) = (0, 0, 0);
        Losses.Clear();
        Array.Fill(_backwardsLeft, microBatches.Count);
        foreach (PipelineAction action in PipelineSchedule.Of(spec.Parallel, grid.Pipeline.Rank, microBatches.Count))
        {
            long started = Stopwatch.GetTimestamp();
            using var scope = NewDisposeScope();
            if (action.IsForward)
            {
                Forward(action, PassageOf(action.MicroBatch, microBatches, step), step);
                ForwardSeconds += Stopwatch.GetElapsedTime(started).TotalSeconds;
            }
            else
            {
                Backward(action, _passages[action.MicroBatch], scale);
                BackwardSeconds += Stopwatch.GetElapsedTime(started).TotalSeconds;
            }
        }

        _links.Finish();
        _reducing = null;
    }

    /// <summary>Brings the losses of the step from the device, which waits for it: so once a step.</summary>
    public void ReadLosses()
    {
        while (_losses.TryDequeue(out (int MicroBatch, Tensor Loss) next))
        {
            using Tensor loss = next.Loss;
            Losses[next.MicroBatch] = loss.item<double>();
            LossSum += Losses[next.MicroBatch];
        }
    }

    private Passage PassageOf(int microBatch, IReadOnlyList<MicroBatch> batches, long step)
    {
        if (!_passages.TryGetValue(microBatch, out Passage? passage))
            _passages[microBatch] = passage = new Passage(batches[microBatch], parts[0], spec.Parallel, grid.Coordinates, parts.Length, AdapterDropout.For(spec, batches[microBatch], step)) { PartsLeft = parts.Length };
        return passage;
    }

    private void Forward(PipelineAction action, Passage passage, long step)
    {
        LlamaPart part = parts[action.Part];
        PartRun run = passage.Runs[action.Part];
        Tensor x = part.Span.HasEmbedding
            ? Using(part.EmbeddingBlock, "embedding", () => part.Embed(passage.Batch)).DetachFromDisposeScope()
            : _links.ReceiveForward(passage.ResidualShape, part.Type, action.MicroBatch, action.Part);
        if (part.Span.HasEmbedding)
            _noise.AddTo(x, passage.MicroBatch, passage.FirstToken, step);
        for (int i = 0; i < part.Layers.Count; i++)
        {
            if (i + 1 < part.Layers.Count)
                states[part.Layers[i + 1].Weights].Prefetch();
            Tensor input = x;
            (x, LayerKept? kept) = RunLayer(part.Layers[i], input, passage.Context, spec.Activations.KeptBy(part.Span.FirstLayer + i));
            run.Inputs.Add(new KeptInput(input, spec.Activations.Offload, ledger));
            run.Kept.Add(kept);
            CountKept(kept?.Bytes ?? 0);
        }

        if (part.Span.HasHead)
            run.Output = x;
        else
            _links.SendForward(x, action.MicroBatch, action.Part);
    }

    private void Backward(PipelineAction action, Passage passage, double scale)
    {
        LlamaPart part = parts[action.Part];
        PartRun run = passage.Runs[action.Part];
        bool isLast = --_backwardsLeft[action.Part] == 0;
        Tensor gradient = part.Span.HasHead
            ? HeadBackward(part, run, passage, action.MicroBatch, scale, isLast)
            : _links.ReceiveBackward(passage.ResidualShape, part.Type, action.MicroBatch, action.Part);
        for (int i = part.Layers.Count - 1; i >= 0; i--)
        {
            Tensor given = LayerBackward(part, i, run, gradient, passage.Context, isLast);
            gradient.Dispose();
            gradient = given;
        }

        run.Inputs.Clear();
        run.Kept.Clear();
        if (part.Span.HasEmbedding)
        {
            using (gradient)
                EmbeddingBackward(part, passage, gradient, isLast);
        }
        else
        {
            _links.SendBackward(gradient, action.MicroBatch, action.Part);
        }

        if (--passage.PartsLeft > 0)
            return;
        passage.Dispose();
        _passages.Remove(action.MicroBatch);
    }

    private Tensor HeadBackward(LlamaPart part, PartRun run, Passage passage, int microBatch, double scale, bool isLast)
    {
        using var span = new OpenSpan(Trace, "backward", "head and loss");
        BlockState head = states[part.HeadBlock], matrix = states[part.HeadMatrixBlock!];
        BlockState[] used = ReferenceEquals(head, matrix) ? [head] : [head, matrix];
        foreach (BlockState state in used)
        {
            state.Acquire();
            state.BeginBackward();
        }

        (Tensor loss, Tensor? gradient) = part.HeadLossOf(run.Output!, passage.Batch, spec.HeadChunkTokens, scale, head.Gradient, matrix.Gradient);
        run.Output!.Dispose();
        run.Output = null;
        _losses.Enqueue((microBatch, loss.DetachFromDisposeScope()));
        foreach (BlockState state in used)
        {
            state.Release();
            // A tied embedding of this part gets the rest of its gradient when the micro-batch arrives there.
            if (!IsTiedHere(part, state))
                End(state, isLast);
        }

        return gradient!.DetachFromDisposeScope();
    }

    private Tensor LayerBackward(LlamaPart part, int index, PartRun run, Tensor gradient, BatchContext context, bool isLast)
    {
        DecoderLayer layer = part.Layers[index];
        using var span = new OpenSpan(Trace, "backward", layer.Name);
        BlockState state = states[layer.Weights];
        if (index > 0)
            states[part.Layers[index - 1].Weights].Prefetch();
        state.Acquire();
        Tensor input = run.Inputs[index].Fetch();
        LayerKept? kept = run.Kept[index];
        if (kept is not { IsWhole: true })
        {
            using var recompute = new OpenSpan(Trace, "recompute", layer.Name);
            kept = RunAgain(layer, input, kept, context);
        }

        state.BeginBackward();
        Tensor given = layer.Backward(gradient, input, kept, context, state.Gradient).DetachFromDisposeScope();
        state.Release();
        CountKept(-kept.Bytes);
        kept.Dispose();
        run.Inputs[index].Dispose();
        End(state, isLast);
        return given;
    }

    private void EmbeddingBackward(LlamaPart part, Passage passage, Tensor gradient, bool isLast)
    {
        using var span = new OpenSpan(Trace, "backward", "embedding");
        BlockState state = states[part.EmbeddingBlock];
        if (!IsTiedHere(part, state))
            state.BeginBackward();
        part.EmbedBackward(passage.Batch, gradient, state.Gradient);
        End(state, isLast);
    }

    // The embedding of this part is its head's matrix too.
    private static bool IsTiedHere(LlamaPart part, BlockState state) =>
        part.Span.HasEmbedding && ReferenceEquals(state.Weights, part.EmbeddingBlock) && ReferenceEquals(state.Weights, part.HeadMatrixBlock);

    // While a block's reduction goes on the next block computes; by the one after, it is over.
    private void End(BlockState state, bool isLast)
    {
        state.EndBackward(isLast);
        _reducing?.Settle();
        _reducing = state;
    }

    private (Tensor Output, LayerKept? Kept) RunLayer(DecoderLayer layer, Tensor x, BatchContext context, LayerParts keep)
    {
        using var span = new OpenSpan(Trace, "forward", layer.Name);
        BlockState state = states[layer.Weights];
        state.Acquire();
        (Tensor output, LayerKept? kept) = RunForward(layer, x, context, keep);
        state.Release();
        return (output.DetachFromDisposeScope(), kept);
    }

    // What it will keep is told before, by what layers kept so far.
    private (Tensor Output, LayerKept? Kept) RunForward(DecoderLayer layer, Tensor x, BatchContext context, LayerParts keep)
    {
        ledger.Expect((x.numel() * x.element_size()) + (keep == LayerParts.None ? 0 : _keptPerToken * x.shape[0]));
        (Tensor output, LayerKept? kept) = layer.Forward(x, context, keep);
        _keptPerToken = Math.Max(_keptPerToken, ((kept?.Bytes ?? 0) + x.shape[0] - 1) / x.shape[0]);
        return (output, kept);
    }

    // All of a layer, or the half that was not kept.
    private LayerKept RunAgain(DecoderLayer layer, Tensor input, LayerKept? kept, BatchContext context)
    {
        if (kept is null)
        {
            (Tensor again, kept) = RunForward(layer, input, context, LayerParts.All);
            again.Dispose();
            CountKept(kept!.Bytes);
            return kept;
        }

        long before = kept.Bytes;
        ledger.Expect(_keptPerToken * input.shape[0]);
        layer.Complete(input, kept, context);
        CountKept(kept.Bytes - before);
        return kept;
    }

    private Tensor Using(BlockWeights block, string name, Func<Tensor> work)
    {
        using var span = new OpenSpan(Trace, "forward", name);
        BlockState state = states[block];
        state.Acquire();
        Tensor result = work();
        state.Release();
        return result;
    }

    private void CountKept(long bytes) => ledger.Count(MemoryClass.Activations, MemoryPlace.Device, bytes);
}
