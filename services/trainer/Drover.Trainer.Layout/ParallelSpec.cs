using System.Text.Json.Serialization;
using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Layout;

/// <summary>Where gradients, optimizer state and weights of a data-parallel group live.</summary>
public enum StatePlacement
{
    /// <summary>Every rank holds everything (DDP).</summary>
    Replicated = 0,

    /// <summary>Each rank holds its shard of master weights and moments (ZeRO-1).</summary>
    Zero1 = 1,

    /// <summary>And of gradients (ZeRO-2).</summary>
    Zero2 = 2,

    /// <summary>And of compute weights, gathered for each use (ZeRO-3).</summary>
    Zero3 = 3,

    /// <summary>As ZeRO-3, in chunks that move between device and host memory (Gemini).</summary>
    Gemini = 4,
}

/// <summary>How the tokens of a row are shared out.</summary>
public enum SequenceMode
{
    /// <summary>They are not.</summary>
    None = 0,

    /// <summary>Outside the half blocks, among the ranks of tensor parallelism (Korthikanti et al., 2022).</summary>
    SplitGather = 1,

    /// <summary>Everywhere; keys and values go round (Liu, Zaharia and Abbeel, 2023).</summary>
    Ring = 2,

    /// <summary>Everywhere; around attention tokens are exchanged for heads (DeepSpeed Ulysses: Jacobs et al., 2023).</summary>
    AllToAll = 3,
}

/// <summary>Order of forward and backward passes of micro-batches in a pipeline.</summary>
public enum PipelineOrder
{
    /// <summary>One forward, one backward as soon as the pipeline is full (Narayanan et al., 2019).</summary>
    OneForwardOneBackward = 0,

    /// <summary>All forward, then all backward (GPipe: Huang et al., 2019).</summary>
    GPipe = 1,
}

/// <summary>How a run is spread over ranks: independent choices that compose. What is left of the ranks is data parallel.</summary>
public sealed record ParallelSpec
{
    /// <summary>Ranks that share the weights of each layer.</summary>
    public int TensorParallel { get; init; } = 1;

    /// <summary>Ranks that hold different layers.</summary>
    public int PipelineParallel { get; init; } = 1;

    /// <summary>Stretches of layers on each rank of the pipeline; more than 1 is the interleaved schedule.</summary>
    public int PartsPerRank { get; init; } = 1;

    /// <summary>Order of the passes.</summary>
    public PipelineOrder PipelineOrder { get; init; }

    /// <summary>Ranks that share the tokens of a row, in the modes ring and all-to-all.</summary>
    public int SequenceParallel { get; init; } = 1;

    /// <summary>How they do it.</summary>
    public SequenceMode SequenceMode { get; init; }

    /// <summary>Where state lives.</summary>
    public StatePlacement Placement { get; init; }

    /// <summary>Keep master weights and moments in host memory and update them there.</summary>
    public bool OffloadOptimizer { get; init; }

    /// <summary>Keep shards of compute weights in host memory (ZeRO-3).</summary>
    public bool OffloadWeights { get; init; }

    /// <summary>Gemini's chunks and policy.</summary>
    public GeminiSpec Gemini { get; init; } = new();

    /// <summary>Ranks of one replica of the model: the product of all axes but data.</summary>
    [JsonIgnore]
    public int RanksPerReplica => TensorParallel * PipelineParallel * SequenceParallel;

    /// <summary>Every rank has all compute weights, between steps too.</summary>
    [JsonIgnore]
    public bool KeepsModelWhole => RanksPerReplica == 1 && Placement is not (StatePlacement.Zero3 or StatePlacement.Gemini);

    /// <summary>Replicas that have rows of their own.</summary>
    public int DataParallel(int ranks) => ranks / RanksPerReplica;

    /// <summary>Everything that does not fit together, each with the nearest choice that does; empty when the spec can run.</summary>
    public IReadOnlyList<string> Problems(LlamaConfig config, int ranks)
    {
        var problems = new List<string>();
        void Require(bool good, string what)
        {
            if (!good)
                problems.Add(what);
        }

        Require(TensorParallel >= 1 && PipelineParallel >= 1 && SequenceParallel >= 1 && PartsPerRank >= 1, $"tensor_parallel, pipeline_parallel, sequence_parallel and parts_per_rank are 1 or more, not {TensorParallel}, {PipelineParallel}, {SequenceParallel}, {PartsPerRank}");
        if (problems.Count > 0)
            return problems;
        Require(ranks % RanksPerReplica == 0, $"ranks ({ranks}) is not a multiple of tensor_parallel x pipeline_parallel x sequence_parallel ({RanksPerReplica}); the nearest that works is {Math.Max(1, ranks / RanksPerReplica) * RanksPerReplica}");
        CheckTensor(config, Require);
        int stages = PipelineParallel * PartsPerRank;
        Require(stages <= config.NumHiddenLayers || PipelineParallel == 1, $"the model's {config.NumHiddenLayers} layers cannot fill {stages} stages (pipeline_parallel x parts_per_rank); use {config.NumHiddenLayers} or fewer");
        Require(PartsPerRank == 1 || PipelineParallel > 1, "parts_per_rank above 1 needs pipeline_parallel above 1");
        Require(PartsPerRank == 1 || PipelineOrder == PipelineOrder.OneForwardOneBackward, "parts_per_rank above 1 is the interleaved schedule: leave pipeline_order at 1f1b");
        CheckSequence(config, Require);
        Require(!OffloadOptimizer || Placement is StatePlacement.Zero1 or StatePlacement.Zero2 or StatePlacement.Zero3, "offload_optimizer needs zero1, zero2 or zero3 (gemini places its chunks by its own policy; ddp keeps everything on the device)");
        Require(!OffloadWeights || Placement == StatePlacement.Zero3, "offload_weights needs zero3: only there each rank holds a shard of the weights");
        if (Placement == StatePlacement.Gemini)
            problems.AddRange(Gemini.Problems());
        return problems;
    }

    private void CheckTensor(LlamaConfig config, Action<bool, string> require)
    {
        int n = TensorParallel;
        require(config.NumAttentionHeads % n == 0, $"num_attention_heads ({config.NumAttentionHeads}) is not a multiple of tensor_parallel ({n})");
        require(config.KeyValueHeads % n == 0, $"num_key_value_heads ({config.KeyValueHeads}) is not a multiple of tensor_parallel ({n}); the largest that works is {LargestDivisor(config.KeyValueHeads, n)}");
        require(config.IntermediateSize % n == 0, $"intermediate_size ({config.IntermediateSize}) is not a multiple of tensor_parallel ({n})");
        require(n <= config.VocabSize, $"tensor_parallel ({n}) is larger than the vocabulary");
    }

    private void CheckSequence(LlamaConfig config, Action<bool, string> require)
    {
        bool whole = SequenceMode is SequenceMode.Ring or SequenceMode.AllToAll;
        require(SequenceMode != SequenceMode.SplitGather || TensorParallel > 1, "sequence_mode split_gather shares tokens among the ranks of tensor_parallel, which is 1; raise it, or use ring or all_to_all with sequence_parallel");
        require(whole || SequenceParallel == 1, $"sequence_parallel is {SequenceParallel}, which needs sequence_mode ring or all_to_all");
        require(!whole || SequenceParallel > 1, "sequence_mode ring and all_to_all need sequence_parallel above 1");
        int heads = config.NumAttentionHeads / Math.Max(1, TensorParallel);
        require(SequenceMode != SequenceMode.AllToAll || heads % SequenceParallel == 0, $"sequence_mode all_to_all shares {heads} query heads of a rank among {SequenceParallel} ranks, which does not divide; use {LargestDivisor(heads, SequenceParallel)}, or ring");
    }

    private static int LargestDivisor(int of, int atMost) => Enumerable.Range(1, Math.Max(1, Math.Min(of, atMost))).Last(n => of % n == 0);
}
