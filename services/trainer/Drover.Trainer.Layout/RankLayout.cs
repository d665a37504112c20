using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Layout;

/// <summary>What of a run decides how much memory its ranks take.</summary>
/// <param name="Config">The model.</param>
/// <param name="Parallel">Without problems for this model and number of ranks.</param>
/// <param name="Ranks">All of them.</param>
/// <param name="ValueBytes">Bytes of a compute weight and of an activation: 2 for bf16, 4 for fp32.</param>
/// <param name="MicroBatchTokens">Tokens of a micro-batch of one replica.</param>
/// <param name="MicroBatches">Micro-batches of one replica in one step.</param>
/// <param name="Activations">What is kept between forward and backward, and where.</param>
/// <param name="HeadChunkTokens">Tokens of a slice of the head; 0 for all.</param>
public sealed record LayoutSpec(LlamaConfig Config, ParallelSpec Parallel, int Ranks, int ValueBytes, long MicroBatchTokens, int MicroBatches, ActivationSpec Activations, int HeadChunkTokens)
{
    /// <summary>Which weights are trained, and how fast.</summary>
    public WeightRates Rates { get; init; } = new();

    /// <summary>Adapters; null for none.</summary>
    public LoraSpec? Lora { get; init; }

    /// <summary>Frozen weights are held for compute alone.</summary>
    public bool HasBase { get; init; }

    /// <summary>Which optimizer.</summary>
    public OptimizerKind Optimizer { get; init; } = OptimizerKind.AdamW;

    /// <summary>Ranks that hold the same weights and see other tokens: data x sequence.</summary>
    public int DataRanks => Parallel.DataParallel(Ranks) * Parallel.SequenceParallel;

    /// <summary>The part of a step in which a rank of the pipeline waits, if all passes take as long (Narayanan et al., 2021).</summary>
    public double PipelineBubble
    {
        get
        {
            double waits = Parallel.PipelineParallel - 1, works = (double)Parallel.PartsPerRank * MicroBatches;
            return waits / (works + waits);
        }
    }
}

/// <summary>Bytes of one class in one place, at most.</summary>
/// <param name="Class">What for.</param>
/// <param name="Place">Where.</param>
/// <param name="Bytes">At most.</param>
public sealed record MemoryBytes(MemoryClass Class, MemoryPlace Place, long Bytes);

/// <summary>What lies on one rank.</summary>
/// <param name="Rank">Of the world.</param>
/// <param name="Coordinates">In the grid.</param>
/// <param name="Spans">Its stretches of the model.</param>
/// <param name="Parts">The blocks of each.</param>
/// <param name="Memory">By class and place; what is 0 is left out.</param>
/// <param name="LogitsBytes">Of a slice of the head's logits, beside that; 0 where the head is not.</param>
public sealed record RankLayout(int Rank, RankCoordinates Coordinates, IReadOnlyList<PartSpan> Spans, IReadOnlyList<IReadOnlyList<Block>> Parts, IReadOnlyList<MemoryBytes> Memory, long LogitsBytes)
{
    /// <summary>Values of the weights.</summary>
    public long WeightCount => Parts.Sum(p => p.Sum(b => b.Count));

    /// <summary>The stretches in words: "embedding", "layers 0-7", "head".</summary>
    public IEnumerable<string> BlockNames
    {
        get
        {
            foreach (PartSpan span in Spans)
            {
                if (span.HasEmbedding)
                    yield return "embedding";
                if (span.LayerCount > 0)
                    yield return span.LayerCount == 1 ? $"layer {span.FirstLayer}" : $"layers {span.FirstLayer}-{span.FirstLayer + span.LayerCount - 1}";
                if (span.HasHead)
                    yield return "head";
            }
        }
    }

    /// <summary>Bytes in a place.</summary>
    public long BytesIn(MemoryPlace place) => Memory.Where(m => m.Place == place).Sum(m => m.Bytes);

    /// <summary>Every rank of a run.</summary>
    public static IReadOnlyList<RankLayout> AllOf(LayoutSpec spec) => [.. Enumerable.Range(0, spec.Ranks).Select(rank => Of(spec, rank))];

    /// <summary>One rank.</summary>
    public static RankLayout Of(LayoutSpec spec, int rank)
    {
        RankCoordinates place = RankCoordinates.Of(rank, spec.Parallel, spec.Ranks);
        PartSpan[] spans = StageTable.PartsOf(spec.Config, place.Pipeline, spec.Parallel);
        var table = new WeightTable(spec.Rates, spec.Lora, spec.HasBase || spec.Lora is not null, place.Tensor, spec.Parallel.TensorParallel);
        Block[][] parts = [.. spans.Select(span => BlockTable.Of(spec.Config, span, table).ToArray())];
        var memory = new MemoryFormulas(spec, place, spans, parts);
        return new RankLayout(rank, place, spans, parts, memory.All(), spans[^1].HasHead ? memory.Logits() : 0);
    }
}
