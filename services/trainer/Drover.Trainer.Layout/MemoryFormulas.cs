using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Layout;

/// <summary>
/// Bytes that a rank takes, by class, at the peak of a step. A test holds them against what ranks count while they train.
/// <para>
/// State, for a block of W values on the rank (its part of the cut), with c bytes a compute value, over D = data x sequence ranks, of
/// which each owns a shard of S = ceil(W / D) values:
/// </para>
/// <code>
///              weights      gradients   optimizer (fp32 master, two moments)
///  replicated  c W          4 W         8 W with fp32 compute, whose weights are their own master; else 12 W
///  zero1       c S D        4 S D       12 S
///  zero2       c S D        4 S         12 S
///  zero3       c S          4 S         12 S
/// </code>
/// <para>
/// (Rajbhandari et al., 2020, with gradients in fp32; S D is W, padded to divide. 8-bit moments take 2 W + W / 32 in place of 8 W, and S is a multiple of 256.) Offloaded shards are the same bytes in host memory.
/// Of weights that are held for compute alone (frozen, where a checkpoint can refer to them) there are compute values and nothing else:
/// all W on each rank, or, with zero3 and Gemini, S of them. What LoRA adds is state like any other.
/// Gemini is zero3 in chunks; its fractions, or what the budget leaves (an estimate: what moves follows what was measured), say how
/// much of it is in host memory.
/// </para>
/// </summary>
internal sealed class MemoryFormulas(LayoutSpec spec, RankCoordinates place, IReadOnlyList<PartSpan> spans, IReadOnlyList<IReadOnlyList<Block>> parts)
{
    private const int Fp32 = 4;

    // Values that chunks are a multiple of.
    private const long ChunkWidth = 64;

    private static readonly StatePlacement[] GradientShards = [StatePlacement.Zero2, StatePlacement.Zero3, StatePlacement.Gemini];
    private static readonly StatePlacement[] WeightShards = [StatePlacement.Zero3, StatePlacement.Gemini];

    private ParallelSpec Parallel => spec.Parallel;

    private bool ShardsGradients => GradientShards.Contains(Parallel.Placement);

    private bool ShardsWeights => WeightShards.Contains(Parallel.Placement);

    private IEnumerable<Block> Blocks => parts.SelectMany(p => p);

    /// <summary>All classes.</summary>
    public IReadOnlyList<MemoryBytes> All()
    {
        bool replicated = Parallel.Placement == StatePlacement.Replicated;
        long weights = Blocks.Sum(b => spec.ValueBytes * (replicated ? b.Count : ShardsWeights ? Shard(b) + BaseShard(b) : Padded(b) + b.BaseCount));
        long gradients = Blocks.Sum(b => Fp32 * (replicated ? b.StateCount : ShardsGradients ? Shard(b) : Padded(b)));
        long Owned(Block b) => replicated ? b.StateCount : Shard(b);
        long optimizer = Blocks.Sum(b => (replicated && spec.ValueBytes == Fp32 ? 0 : Fp32 * Owned(b)) + MomentBlocks.Bytes(Owned(b), spec.Optimizer));
        // 8-bit moments are in fp32 while they are updated, some at a time.
        long window = spec.Optimizer == OptimizerKind.AdamW8Bit ? 2 * Fp32 * MomentBlocks.RoundUp(Math.Min(MomentBlocks.WindowValues, Blocks.Max(Owned))) : 0;
        (long activations, long hostActivations) = Activations();
        long buffers = Math.Max(GatheredAndUnreduced(), Parallel.OffloadOptimizer ? 0 : window);
        (long hostWeights, long hostGradients, long hostOptimizer) = InHost(weights, gradients, optimizer, activations + buffers);
        // The update of an offloaded block has its gradient beside it.
        long staged = Parallel.OffloadOptimizer ? (Fp32 * Blocks.Max(Shard)) + window : 0;
        MemoryBytes[] all =
        [
            new(MemoryClass.Weights, MemoryPlace.Device, weights - hostWeights), new(MemoryClass.Weights, MemoryPlace.Host, hostWeights),
            new(MemoryClass.Gradients, MemoryPlace.Device, gradients - hostGradients), new(MemoryClass.Gradients, MemoryPlace.Host, hostGradients),
            new(MemoryClass.Optimizer, MemoryPlace.Device, optimizer - hostOptimizer), new(MemoryClass.Optimizer, MemoryPlace.Host, hostOptimizer),
            new(MemoryClass.Activations, MemoryPlace.Device, activations), new(MemoryClass.Activations, MemoryPlace.Host, hostActivations),
            new(MemoryClass.Buffers, MemoryPlace.Device, buffers), new(MemoryClass.Buffers, MemoryPlace.Host, staged),
        ];
        return [.. all.Where(m => m.Bytes > 0)];
    }

    /// <summary>
    /// A slice of n tokens against this rank's V rows of the head: logits in the compute type and in fp32, then probabilities in fp32 and
    /// their gradient in the compute type, of which the compute type's copies and two fp32 ones are there at once.
    /// </summary>
    public long Logits()
    {
        long tokens = spec.HeadChunkTokens == 0 ? EnteredTokens() : Math.Min(spec.HeadChunkTokens, EnteredTokens());
        long rows = CutTable.RangeOf(spec.Config.VocabSize, place.Tensor, Parallel.TensorParallel).Count;
        return tokens * rows * (spec.ValueBytes == Fp32 ? 2 * Fp32 : (2 * Fp32) + spec.ValueBytes);
    }

    private long Shard(Block block) => MomentBlocks.ShardOf(block.StateCount, spec.DataRanks, spec.Optimizer);

    private long BaseShard(Block block) => (block.BaseCount + spec.DataRanks - 1) / spec.DataRanks;

    private long Padded(Block block) => Shard(block) * spec.DataRanks;

    private (long Weights, long Gradients, long Optimizer) InHost(long weights, long gradients, long optimizer, long rest)
    {
        if (Parallel.Placement != StatePlacement.Gemini)
            return (Parallel.OffloadWeights ? weights : 0, 0, Parallel.OffloadOptimizer ? optimizer : 0);
        GeminiSpec gemini = Parallel.Gemini;
        if (gemini.Policy == GeminiPolicy.Static)
        {
            long updated = ValuesInHost(gemini.OffloadOptimizerFraction, Blocks.Select(Shard));
            long weighed = ValuesInHost(gemini.OffloadWeightsFraction, Blocks.SelectMany(b => new[] { BaseShard(b), Shard(b) }));
            return (spec.ValueBytes * weighed, Fp32 * updated, 3 * Fp32 * updated);
        }

        // Auto: what does not fit goes, the optimizer's first, since it is used once a step.
        long over = Math.Max(0, weights + gradients + optimizer + rest - gemini.DeviceBudgetBytes), moved = Math.Min(over, optimizer);
        return (Math.Min(over - moved, weights), 0, moved);
    }

    // Chunks go to host memory one by one, as long as no more than the fraction of the values so far is there. A chunk's gradient is where
    // its optimizer state is: the update runs there.
    private long ValuesInHost(double fraction, IEnumerable<long> shards)
    {
        long each = Math.Max(1, ((Parallel.Gemini.ChunkValues / spec.DataRanks) + ChunkWidth - 1) / ChunkWidth) * ChunkWidth, placed = 0, hosted = 0;
        foreach (long shard in shards)
        {
            for (long first = 0; first < shard; first += each)
            {
                long values = Math.Min(each, shard - first);
                placed += values;
                hosted += hosted + values <= fraction * placed ? values : 0;
            }
        }

        return hosted;
    }

    // Tokens of the residual stream on this rank: a share of the micro-batch where ranks share the tokens.
    private long ResidualTokens()
    {
        int shares = Parallel.SequenceMode == SequenceMode.SplitGather ? Parallel.TensorParallel : Parallel.SequenceParallel;
        return (spec.MicroBatchTokens + shares - 1) / shares;
    }

    // Tokens inside the half blocks: split-gather has them all there.
    private long EnteredTokens() => Parallel.SequenceMode == SequenceMode.SplitGather ? ResidualTokens() * Parallel.TensorParallel : ResidualTokens();

    /// <summary>
    /// What a layer keeps, t tokens outside the half blocks and n inside, over T ranks of the cut, hidden width h, head size s:
    /// <code>
    ///  attention     1 / rms of each token                 4 t
    ///                input of q, k, v (the normed x)       c n h
    ///                q, attention's result in both orders  3 c n s (query heads / T)
    ///                k, v                                  2 c n s (key heads / T)
    ///                with norms of heads: q and k before   (c s + 4) n (query + key heads) / T
    ///                them, 1 / rms of each head
    ///  between       x + attention                         c t h
    ///  feed-forward  1 / rms                               4 t
    ///                input of gate and up                  c n h
    ///                gate and up                           2 c n (inner / T)
    ///  with DoRA     result of each product with adapters  c n (its width / T)
    /// </code>
    /// </summary>
    private long KeptOfLayer(LayerParts halves)
    {
        LlamaConfig config = spec.Config;
        long t = ResidualTokens(), n = EnteredTokens(), c = spec.ValueBytes, cut = Parallel.TensorParallel, kept = halves == LayerParts.None ? 0 : c * t * config.HiddenSize;
        if (halves.HasFlag(LayerParts.Attention))
        {
            long heads = ((3L * config.NumAttentionHeads) + (2L * config.KeyValueHeads)) / cut * config.HeadSize;
            long normed = config.Family.HasHeadNorms ? n * ((c * config.HeadSize) + Fp32) * (config.NumAttentionHeads + config.KeyValueHeads) / cut : 0;
            kept += normed + (Fp32 * t) + (c * n * (config.HiddenSize + heads + DoraWidth("self_attn")));
        }

        if (halves.HasFlag(LayerParts.FeedForward))
            kept += (Fp32 * t) + (c * n * (config.HiddenSize + (2L * config.IntermediateSize / cut) + DoraWidth("mlp")));
        return kept;
    }

    // Columns of the products of a half block whose results DoRA keeps: those that a rank has.
    private long DoraWidth(string half) => spec.Lora is { Dora: true }
        ? parts.SelectMany(p => p).FirstOrDefault(b => b.Kind == BlockKind.Layer)?.Weights.Where(w => AdapterTensors.IsMagnitude(w.Name) && w.Name.Contains($".{half}.", StringComparison.Ordinal)).Sum(w => w.Count) ?? 0
        : 0;

    /// <summary>
    /// Each layer keeps its input, c t h, and what <see cref="KeptOfLayer"/> says of the halves that are not run again, for every micro-batch that went
    /// through it forward and not yet backward: the schedule says which. Going backward through a part, the layer at work has the rest too, and
    /// those after it are gone. Offloaded inputs are the same bytes in host memory, and that of the layer at work is brought back.
    /// </summary>
    private (long Device, long Host) Activations()
    {
        long input = spec.ValueBytes * ResidualTokens() * spec.Config.HiddenSize, whole = KeptOfLayer(LayerParts.All);
        long kept = 0, inputs = 0, most = 0, mostInputs = 0;
        bool offloads = spec.Activations.Offload;
        void Look(long more) => most = Math.Max(most, kept + more + (offloads ? 0 : inputs));
        foreach (PipelineAction action in PipelineSchedule.Of(Parallel, place.Pipeline, spec.MicroBatches))
        {
            PartSpan span = spans[action.Part];
            for (int i = 0; i < span.LayerCount; i++)
            {
                long its = KeptOfLayer(spec.Activations.KeptBy(span.FirstLayer + (action.IsForward ? i : span.LayerCount - 1 - i)));
                if (!action.IsForward)
                    Look(whole - its + (offloads ? input : 0));
                (kept, inputs) = action.IsForward ? (kept + its, inputs + input) : (kept - its, inputs - input);
                mostInputs = Math.Max(mostInputs, inputs);
                Look(0);
            }
        }

        return (most, offloads ? mostInputs : 0);
    }

    /// <summary>
    /// Beside the shards, while blocks run: with zero2 and above the whole gradient of a block, 4 S D, from its backward to the end of its
    /// reduction, which overlaps the backward of the block after; with zero3 the gathered weights, c S D, of the running block and of the
    /// next. The order is that of the backward passes, head first; a micro-batch follows on the embedding of the one before.
    /// A tied embedding on the head's rank has its gradient from the head to the end.
    /// </summary>
    private long GatheredAndUnreduced()
    {
        if (!ShardsGradients)
            return 0;
        long Unreduced(Block? b) => b is null ? 0 : Fp32 * Padded(b);
        long Gathered(Block? b) => b is not null && ShardsWeights ? spec.ValueBytes * (Padded(b) + (BaseShard(b) * spec.DataRanks)) : 0;
        long most = 0;
        foreach (IReadOnlyList<Block> part in parts)
        {
            bool tiedHere = spec.Config.TieWordEmbeddings && part[0].Kind == BlockKind.Embedding && part[^1].Kind == BlockKind.Head;
            Block? embedding = part[0].Kind == BlockKind.Embedding ? part[0] : null;
            Block[] head = [.. part.Where(b => b.Kind is BlockKind.Head or BlockKind.TiedHead)], layers = [.. part.Where(b => b.Kind == BlockKind.Layer).Reverse()];
            // Whose reduction goes on when this part's backward begins: the last block of the micro-batch before.
            Block? before = spec.MicroBatches * parts.Count > 1 ? parts.Select(p => p[0]).MaxBy(b => b.StateCount) : null;
            long held = tiedHere ? Unreduced(embedding) : 0;
            if (head.Length > 0)
            {
                most = Math.Max(most, head.Sum(b => Unreduced(b) + Gathered(b)) + (tiedHere ? held + Gathered(embedding) : Unreduced(before)));
                before = head[^1].StateCount > head[0].StateCount ? head[^1] : head[0];
            }

            for (int i = 0; i < layers.Length; i++)
            {
                most = Math.Max(most, held + Unreduced(before) + Unreduced(layers[i]) + Gathered(layers[i]) + Gathered(layers.ElementAtOrDefault(i + 1)));
                before = layers[i];
            }

            if (embedding is not null)
                most = Math.Max(most, Unreduced(before) + Unreduced(embedding));
        }

        return most;
    }
}
