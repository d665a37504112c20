using System.Text.Json.Serialization;
using Drover.Trainer.Layout;

namespace Drover.Trainer.Contract;

/// <summary>A line of the events file: one of the members is set.</summary>
internal sealed record WorkerEvent
{
    public StartedEvent? Started { get; init; }

    public StepEvent? Step { get; init; }

    public string? Log { get; init; }

    public string? Warning { get; init; }

    public RollbackEvent? Rollback { get; init; }

    public CheckpointEvent? Checkpoint { get; init; }

    public EndedEvent? Ended { get; init; }

    public EvaluatedEvent? Evaluated { get; init; }

    public HeldOutEvent? HeldOut { get; init; }

    public GeneratedEvent? Generated { get; init; }

    public CalibratedEvent? Calibrated { get; init; }

    public GeneratedAllEvent? GeneratedAll { get; init; }

    public DevicesEvent? Devices { get; init; }
}

/// <summary>Everything is loaded; steps begin.</summary>
internal sealed record StartedEvent(long StepsDone, long TotalSteps);

internal sealed record StepEvent(
    long Step,
    double Loss,
    double LearningRate,
    double GradNorm,
    double TokensPerSecond,
    double ModelFlopsPerSecond,
    double Mfu,
    long MemoryBytes,
    long TokensSeen,
    long LabelTokens,
    double Seconds,
    double LossScale,
    long SkippedSteps);

/// <summary>All shards and the pending manifest are in the store.</summary>
internal sealed record CheckpointEvent(string Prefix, long Step)
{
    /// <summary>Training stood still for the copy and for what was not yet written.</summary>
    public double StalledSeconds { get; init; }

    /// <summary>The first rank wrote for so long, beside training.</summary>
    public double WriteSeconds { get; init; }

    /// <summary>Of all shards.</summary>
    public long Bytes { get; init; }
}

/// <summary>The last event of an attempt that wants to go on from the last checkpoint with other rows.</summary>
internal sealed record RollbackEvent(long Step, long NextBatch, string Message);

/// <summary>The last event of a run that was not cut off.</summary>
/// <param name="StepsDone">Of the run.</param>
/// <param name="Stopped">Before its last step.</param>
/// <param name="TokensPerSecond">Median over the steps of the attempt but its first; 0 where there was none.</param>
/// <param name="ResidentBytes">Most that the system gave to a rank.</param>
/// <param name="CountedBytes">Most that a rank counted: the sum of the peaks of its classes.</param>
internal sealed record EndedEvent(long StepsDone, bool Stopped, double TokensPerSecond, long ResidentBytes, long CountedBytes);

/// <summary>Steps of two small models under one of the layouts that were asked about.</summary>
internal sealed record CalibratedEvent(int Case, MeasuredStep Few, MeasuredStep More, long PeakResidentBytes);

/// <summary>Why ranks cannot compute on this host's GPUs; empty where they can.</summary>
internal sealed record DevicesEvent(string Problem);

internal sealed record EvaluatedEvent(double LossSum, long LabelTokens);

/// <summary>Some more of a prompt's continuation.</summary>
/// <param name="Prompt">Its number.</param>
/// <param name="Ids">Tokens since the last piece.</param>
/// <param name="Text">Whole characters.</param>
/// <param name="End">On the last piece, the name of an EndReason of the engine.</param>
internal sealed record GeneratedEvent(int Prompt, int[] Ids, string Text, string? End);

/// <summary>All continuations have ended.</summary>
internal sealed record GeneratedAllEvent(long PromptTokens, long NewTokens, double Seconds);

/// <summary>An evaluation of a run on held-out data.</summary>
internal sealed record HeldOutEvent(long Step, double Loss, DatasetLossEvent[] Datasets, bool IsBest, double Seconds);

internal sealed record DatasetLossEvent(string Label, double Loss, long LabelTokens);

/// <summary>Why a rank gave up; numbers of <see cref="Drover.Errors.FailureCode"/>.</summary>
internal sealed record WorkerFailure(int Rank, int Code, string Reason, string Message);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(WorkerEvent))]
[JsonSerializable(typeof(WorkerFailure))]
internal sealed partial class WorkerEventJson : JsonSerializerContext;
