using Drover.Errors;
using Drover.Trainer.Model;

namespace Drover.Trainer.Engine;

/// <summary>What one rank has to know to train, beside the model and the data.</summary>
public sealed record EngineSpec
{
    /// <summary>Number format of compute weights and activations; master weights and moments are always fp32.</summary>
    public Precision Precision { get; init; } = Precision.Bf16;

    /// <summary>Rows in one optimizer step over all ranks and accumulation.</summary>
    public required int GlobalBatchRows { get; init; }

    /// <summary>Rows of one forward pass on one rank. <see cref="GlobalBatchRows"/> is a multiple of it times the ranks.</summary>
    public required int MicroBatchRows { get; init; }

    /// <summary>Keep only the inputs of blocks and run them forward again in the backward pass.</summary>
    public bool Recompute { get; init; }

    /// <summary>Tokens of one slice of the head and loss; 0 computes the logits of a micro-batch at once.</summary>
    public int HeadChunkTokens { get; init; }

    /// <summary>AdamW.</summary>
    public AdamWSpec Optimizer { get; init; } = new();

    /// <summary>The learning rate over steps.</summary>
    public required ScheduleSpec Schedule { get; init; }

    /// <summary>Clips the gradient's norm over all weights and ranks to this; 0 does not clip.</summary>
    public double MaxGradNorm { get; init; } = 1.0;

    /// <summary>Seed of the row order.</summary>
    public long Seed { get; init; }

    /// <summary>Threads of the tensor library in this process; 0 leaves its own choice (all cores).</summary>
    public int Threads { get; init; }

    /// <summary>Checks the fields against each other and against the number of ranks.</summary>
    /// <exception cref="DroverException">InvalidArgument, naming every field that is wrong.</exception>
    public void Validate(int ranks)
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
        if (GlobalBatchRows > 0 && MicroBatchRows > 0)
            Require(GlobalBatchRows % ((long)MicroBatchRows * ranks) == 0, $"global_batch_rows ({GlobalBatchRows}) is not a multiple of micro_batch_rows ({MicroBatchRows}) times ranks ({ranks})");
        Require(HeadChunkTokens >= 0, $"head_chunk_tokens is {HeadChunkTokens}");
        Require(MaxGradNorm >= 0, $"max_grad_norm is {MaxGradNorm}");
        Require(Threads >= 0, $"threads_per_rank is {Threads}");
        Require(Optimizer.LearningRate >= 0, $"learning_rate is {Optimizer.LearningRate}");
        Require(Optimizer.Beta1 is >= 0 and < 1, $"beta1 is {Optimizer.Beta1}");
        Require(Optimizer.Beta2 is >= 0 and < 1, $"beta2 is {Optimizer.Beta2}");
        Require(Optimizer.Epsilon > 0, $"epsilon is {Optimizer.Epsilon}");
        Require(Optimizer.WeightDecay >= 0, $"weight_decay is {Optimizer.WeightDecay}");
        Require(Schedule.TotalSteps > 0, $"steps is {Schedule.TotalSteps}");
        Require(Schedule.WarmupSteps >= 0, $"warmup_steps is {Schedule.WarmupSteps}");
        Require(Schedule.MinLearningRateRatio is >= 0 and <= 1, $"min_learning_rate_ratio is {Schedule.MinLearningRateRatio}");
        if (problems.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_TRAINING_SPEC", $"The training spec cannot run: {string.Join("; ", problems)}.");
    }
}

/// <summary>AdamW with decoupled weight decay (Loshchilov and Hutter, 2019).</summary>
public sealed record AdamWSpec
{
    /// <summary>Peak learning rate.</summary>
    public double LearningRate { get; init; } = 3e-4;

    /// <summary>Decay of the first moment.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the second moment.</summary>
    public double Beta2 { get; init; } = 0.95;

    /// <summary>Added to the root of the second moment.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>Weight decay of matrices; norms and biases have none.</summary>
    public double WeightDecay { get; init; } = 0.1;
}

/// <summary>Linear warm-up from 0 to the peak, then a half cosine down to a part of it at the last step.</summary>
public sealed record ScheduleSpec
{
    /// <summary>Optimizer steps of the run.</summary>
    public required long TotalSteps { get; init; }

    /// <summary>Steps until the peak is reached.</summary>
    public long WarmupSteps { get; init; }

    /// <summary>Learning rate of the last step divided by the peak.</summary>
    public double MinLearningRateRatio { get; init; } = 0.1;

    /// <summary>The part of the peak learning rate that a step uses, steps counted from 1.</summary>
    public double FactorAt(long step)
    {
        if (step <= WarmupSteps)
            return (double)step / WarmupSteps;
        double done = TotalSteps <= WarmupSteps ? 1 : Math.Min(1, (double)(step - WarmupSteps) / (TotalSteps - WarmupSteps));
        return MinLearningRateRatio + ((1 - MinLearningRateRatio) * 0.5 * (1 + Math.Cos(Math.PI * done)));
    }
}
