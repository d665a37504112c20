using Drover.Errors;
using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>What one rank has to know to train, beside the model and the data.</summary>
public sealed record EngineSpec
{
    /// <summary>Number format of compute weights and activations; master weights and moments are always fp32.</summary>
    public Precision Precision { get; init; } = Precision.Bf16;

    /// <summary>Where this rank computes: the CPU, or a GPU by its number. The collectives must reach its memory.</summary>
    public Device Device { get; init; } = CPU;

    /// <summary>Rows in one optimizer step over all ranks and accumulation.</summary>
    public required int GlobalBatchRows { get; init; }

    /// <summary>Rows of one forward pass of one replica. <see cref="GlobalBatchRows"/> is a multiple of it times the replicas.</summary>
    public required int MicroBatchRows { get; init; }

    /// <summary>What is kept between forward and backward, and where.</summary>
    public ActivationSpec Activations { get; init; } = new();

    /// <summary>Tokens of one slice of the head and loss; 0 computes the logits of a micro-batch at once.</summary>
    public int HeadChunkTokens { get; init; }

    /// <summary>How the run is spread over ranks.</summary>
    public ParallelSpec Parallel { get; init; } = new();

    /// <summary>AdamW.</summary>
    public AdamWSpec Optimizer { get; init; } = new();

    /// <summary>Which weights are trained, and how fast.</summary>
    public WeightRates Rates { get; init; } = new();

    /// <summary>Adapters beside frozen weights; null for none.</summary>
    public LoraSpec? Lora { get; init; }

    /// <summary>
    /// The weights that a run starts from can be read again at any time: frozen ones are then held for compute alone, without master weights
    /// and moments, and are no part of the saved state. With <see cref="Lora"/> it is always so.
    /// </summary>
    public bool HasBase { get; init; }

    /// <summary>Where the stage of the run begins.</summary>
    public StageStart Start { get; init; }

    /// <summary>The learning rate over steps, counted from <see cref="StageStart.ScheduleStep"/>.</summary>
    public required ScheduleSpec Schedule { get; init; }

    /// <summary>Of <see cref="Precision.Fp16"/>.</summary>
    public LossScaleSpec LossScale { get; init; } = new();

    /// <summary>What is done about losses and gradients that are not as they should be.</summary>
    public GuardSpec Guard { get; init; } = new();

    /// <summary>Clips the gradient's norm over all weights and ranks to this; 0 does not clip.</summary>
    public double MaxGradNorm { get; init; } = 1.0;

    /// <summary>Strength of <see cref="EmbeddingNoise"/>; 0 for none.</summary>
    public double NeftuneAlpha { get; init; }

    /// <summary>Seed of the row order and of noise.</summary>
    public long Seed { get; init; }

    /// <summary>Threads of the tensor library in this process; 0 leaves its own choice (all cores).</summary>
    public int Threads { get; init; }

    /// <summary>Checks the fields against each other, the model and the number of ranks.</summary>
    /// <exception cref="DroverException">InvalidArgument, naming every field that is wrong.</exception>
    public void Validate(LlamaConfig config, int ranks)
    {
        var problems = new List<string>();
        void Require(bool good, string what)
        {
            if (!good)
                problems.Add(what);
        }

        Require(Enum.IsDefined(Precision), $"precision {Precision} is unknown");
        Require(GlobalBatchRows > 0, $"global_batch_rows is {GlobalBatchRows}");
        Require(MicroBatchRows > 0, $"micro_batch_rows is {MicroBatchRows}");
        problems.AddRange(Parallel.Problems(config, ranks));
        int replicas = Math.Max(1, Parallel.DataParallel(ranks));
        if (GlobalBatchRows > 0 && MicroBatchRows > 0)
            Require(GlobalBatchRows % ((long)MicroBatchRows * replicas) == 0, $"global_batch_rows ({GlobalBatchRows}) is not a multiple of micro_batch_rows ({MicroBatchRows}) times the data-parallel replicas ({replicas})");
        Require(HeadChunkTokens >= 0, $"head_chunk_tokens is {HeadChunkTokens}");
        Require(MaxGradNorm >= 0, $"max_grad_norm is {MaxGradNorm}");
        Require(Threads >= 0, $"threads_per_rank is {Threads}");
        problems.AddRange(MomentBlocks.Problems(Optimizer.Kind, Parallel));
        Require(Optimizer.LearningRate >= 0, $"learning_rate is {Optimizer.LearningRate}");
        Require(Optimizer.Beta1 is >= 0 and < 1, $"beta1 is {Optimizer.Beta1}");
        Require(Optimizer.Beta2 is >= 0 and < 1, $"beta2 is {Optimizer.Beta2}");
        Require(Optimizer.Epsilon > 0, $"epsilon is {Optimizer.Epsilon}");
        Require(Optimizer.WeightDecay >= 0, $"weight_decay is {Optimizer.WeightDecay}");
        problems.AddRange(Activations.Problems(config));
        problems.AddRange(Schedule.Problems());
        problems.AddRange(LossScale.Problems());
        problems.AddRange(Guard.Problems());
        problems.AddRange(Rates.Problems(config, Lora));
        problems.AddRange(Lora is null ? [] : [.. Lora.Problems(), .. Lora.Problems(config)]);
        Require(NeftuneAlpha >= 0 && double.IsFinite(NeftuneAlpha), $"neftune_alpha is {NeftuneAlpha}");
        if (problems.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_TRAINING_SPEC", $"The training spec cannot run: {string.Join("; ", problems)}.");
    }
}
