using System.Text.Json.Serialization;
using Drover.Formats.Adapters;

namespace Drover.Formats.Checkpoints;

/// <summary>
/// The manifest of a checkpoint: logical tensors (a name, a global shape) made of slices that lie in safetensors shards.
/// A trainer writes it as <see cref="PendingFileName"/> after its shards; the checkpoint service verifies everything
/// and writes <see cref="FileName"/> last. Only what has <see cref="FileName"/> is a checkpoint.
/// </summary>
public sealed record CheckpointManifest
{
    /// <summary>The published manifest.</summary>
    public const string FileName = "manifest.json";

    /// <summary>What a trainer writes before the service has verified it.</summary>
    public const string PendingFileName = "manifest.pending.json";

    /// <summary>Version of this layout.</summary>
    public int Version { get; init; } = 1;

    /// <summary>The run.</summary>
    public required string Run { get; init; }

    /// <summary>Optimizer steps done.</summary>
    public required long Step { get; init; }

    /// <summary>Global rows consumed: the data cursor, the same under every layout.</summary>
    public required long RowsConsumed { get; init; }

    /// <summary>Real tokens consumed.</summary>
    public required long TokensSeen { get; init; }

    /// <summary>Loss of the last step, nats per labelled token.</summary>
    public required double Loss { get; init; }

    /// <summary>Of a run in fp16: where its loss scale stands; null for others.</summary>
    public LossScaleState? LossScale { get; init; }

    /// <summary>Where weights that are not among <see cref="Tensors"/> are read: they were frozen. Null where all are here.</summary>
    public BaseReference? Base { get; init; }

    /// <summary>Of a run with LoRA: what its adapters are; null for others.</summary>
    public LoraSpec? Adapter { get; init; }

    /// <summary>What the guard against spikes knows; null in checkpoints of before it was.</summary>
    public GuardState? Guard { get; init; }

    /// <summary>Of a run that is evaluated on held-out data: the last evaluation and the best; null for others.</summary>
    public HeldOutState? HeldOut { get; init; }

    /// <summary>What the run reads next, and the loss that is expected of it: what a resume holds itself against. Null in checkpoints of before it was.</summary>
    public NextBatchState? NextBatch { get; init; }

    /// <summary>The Hugging Face config.json of the model, as text.</summary>
    public required string ModelConfig { get; init; }

    /// <summary>The run spec as canonical JSON: what a resume checks itself against.</summary>
    public required string RunSpec { get; init; }

    /// <summary>Reference of the dataset and the hash of its manifest.</summary>
    public required string Dataset { get; init; }

    /// <summary>SHA-256 of the dataset's manifest.</summary>
    public required string DatasetHash { get; init; }

    /// <summary>Content hash of the tokenizer; empty when none was named.</summary>
    public required string TokenizerHash { get; init; }

    /// <summary>The shards.</summary>
    public required IReadOnlyList<CheckpointShard> Shards { get; init; }

    /// <summary>All logical tensors, ordered by kind and name.</summary>
    public required IReadOnlyList<LogicalTensor> Tensors { get; init; }
}

/// <summary>Where the dynamic loss scale of a run in fp16 stands, the same under every layout.</summary>
/// <param name="Scale">What the next step's loss is multiplied by.</param>
/// <param name="GoodSteps">Steps since the scale last changed.</param>
/// <param name="SkippedSteps">Steps of the run that changed no weight: the optimizer counts the others.</param>
public sealed record LossScaleState(double Scale, long GoodSteps, long SkippedSteps);

/// <summary>A model that a checkpoint refers to.</summary>
/// <param name="Model">Object-store prefix of a Hugging Face folder or a checkpoint.</param>
/// <param name="Hash">Of its weights: see <c>Drover.Formats.Weights.IModelWeights.HashAsync</c>.</param>
public sealed record BaseReference(string Model, string Hash);

/// <summary>What the guard against loss spikes knows, the same under every layout.</summary>
/// <param name="Losses">Of the last steps that updated the weights, the latest last.</param>
/// <param name="GradNorms">The same of the gradient norm.</param>
/// <param name="SkippedSteps">Steps of the run whose update the guard left out.</param>
/// <param name="SkipsInRow">Of them, those since the last update.</param>
/// <param name="SkippedBatches">Batches of the order of rows that were left out by going back.</param>
public sealed record GuardState(IReadOnlyList<double> Losses, IReadOnlyList<double> GradNorms, long SkippedSteps, int SkipsInRow, long SkippedBatches)
{
    /// <summary>Of a new run.</summary>
    public static GuardState Start { get; } = new([], [], 0, 0, 0);
}

/// <summary>How a run does on held-out data.</summary>
/// <param name="Measure">Identity of the data and of what says best: losses of another measure are not compared with these.</param>
/// <param name="Step">Of the last evaluation.</param>
/// <param name="Loss">What it gave by that measure, nats per labelled token.</param>
/// <param name="Losses">The same of each dataset, by label.</param>
/// <param name="BestStep">Of the best one; that step is saved.</param>
/// <param name="BestLoss">What it gave.</param>
public sealed record HeldOutState(string Measure, long Step, double Loss, IReadOnlyDictionary<string, double> Losses, long BestStep, double BestLoss);

/// <summary>The batch after a checkpoint, the same under every layout.</summary>
/// <param name="Rows">SHA-256 over the ids of its rows in order, one decimal number a line, lower-case hex.</param>
/// <param name="FirstRow">Id of its first row, for messages.</param>
/// <param name="CheckedRows">So many of its first rows are behind <paramref name="Loss"/>.</param>
/// <param name="Loss">Of the saved weights on them, nats per labelled token, without noise and dropout.</param>
/// <param name="Precision">Of compute: "fp32", "bf16" or "fp16".</param>
public sealed record NextBatchState(string Rows, long FirstRow, int CheckedRows, double Loss, string Precision);

/// <summary>A safetensors file that one rank wrote.</summary>
/// <param name="File">Relative to the manifest.</param>
/// <param name="Rank">Who wrote it.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Sha256">Its digest, lower-case hex.</param>
public sealed record CheckpointShard(string File, int Rank, long Bytes, string Sha256);

/// <summary>A tensor as the model knows it, whatever the layout of the ranks was.</summary>
/// <param name="Kind">"weight" (fp32 master), "exp_avg" or "exp_avg_sq".</param>
/// <param name="Name">Hugging Face name, e.g. "model.embed_tokens.weight".</param>
/// <param name="DataType">Safetensors name, e.g. "F32".</param>
/// <param name="Shape">Global shape.</param>
/// <param name="Slices">Disjoint slices that cover it.</param>
public sealed record LogicalTensor(string Kind, string Name, string DataType, long[] Shape, IReadOnlyList<TensorSlice> Slices)
{
    /// <summary>The fp32 master weight.</summary>
    public const string Weight = "weight";

    /// <summary>AdamW's first moment.</summary>
    public const string FirstMoment = "exp_avg";

    /// <summary>AdamW's second moment.</summary>
    public const string SecondMoment = "exp_avg_sq";
}

/// <summary>A box of a logical tensor.</summary>
/// <param name="File">The shard.</param>
/// <param name="Key">The tensor's name in the shard; by convention "kind/name" or "kind/name@offset".</param>
/// <param name="Offset">Where the box starts, one number a dimension.</param>
/// <param name="Shape">Its extent.</param>
public sealed record TensorSlice(string File, string Key, long[] Offset, long[] Shape);

/// <summary>Serializes <see cref="CheckpointManifest"/>.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(CheckpointManifest))]
[JsonSerializable(typeof(WrittenShard))]
[JsonSerializable(typeof(BestCheckpoint))]
public sealed partial class CheckpointManifestJson : JsonSerializerContext;
