using System.Text.Json.Serialization;
using Drover.Formats.Adapters;
using Drover.Trainer.Layout;

namespace Drover.Trainer.Contract;

/// <summary>
/// What a worker process is told, as a JSON file. This folder is compiled into the service and into the worker: the service must not
/// reference the worker, which carries libtorch. Secrets are never in the file: keys of the object store come by
/// <see cref="AccessKeyVariable"/> and <see cref="SecretKeyVariable"/>.
/// </summary>
internal sealed record WorkerSpec
{
    public const string AccessKeyVariable = "DROVER_ObjectStore__S3AccessKey";
    public const string SecretKeyVariable = "DROVER_ObjectStore__S3SecretKey";
    public const string Cpu = "cpu";
    public const string Cuda = "cuda";

    /// <summary>Events are appended here by rank 0, one JSON object a line.</summary>
    public required string EventsFile { get; init; }

    /// <summary>A rank that fails writes "failure-RANK.json" here. A file "stop" asks for an end after the running step, "save" for a checkpoint.</summary>
    public required string AttemptFolder { get; init; }

    /// <summary>Shards of datasets are kept here between runs.</summary>
    public required string CacheFolder { get; init; }

    /// <summary>The object store without its keys.</summary>
    public required StoreSpec Store { get; init; }

    /// <summary>Rank 0 ends the run when its standard input ends: whoever started it is gone.</summary>
    public bool EndWithParent { get; init; }

    /// <summary>Threads of each rank; 0 for all cores.</summary>
    public int Threads { get; init; }

    /// <summary>"auto" (a GPU for each rank where there is one), <see cref="Cpu"/> or <see cref="Cuda"/>.</summary>
    public string Device { get; init; } = "auto";

    /// <summary>"fp32", "bf16" or "fp16".</summary>
    public string Precision { get; init; } = "bf16";

    public int MicroBatchRows { get; init; } = 1;

    /// <summary>Object-store prefix of the dataset, for training and evaluation.</summary>
    public string Dataset { get; init; } = "";

    public TrainSpec? Train { get; init; }

    public EvaluateSpec? Evaluate { get; init; }

    public GenerateSpec? Generate { get; init; }

    public CalibrateSpec? Calibrate { get; init; }

    public DevicesSpec? Devices { get; init; }
}

internal sealed record StoreSpec(string Folder, string S3Endpoint, string S3Bucket, string S3Region)
{
    public string S3CredentialsFile { get; init; } = "";

    public string S3Profile { get; init; } = "default";

    public string S3CertificateFile { get; init; } = "";
}

/// <summary>A run. Every field is what the service resolved: no zero stands for a default.</summary>
internal sealed record TrainSpec
{
    public required string Run { get; init; }

    /// <summary>The user's spec as JSON; goes into the manifest of each checkpoint.</summary>
    public required string RunSpec { get; init; }

    /// <summary>A Hugging Face folder, or "".</summary>
    public string BaseModel { get; init; } = "";

    /// <summary>Key of a config.json for random weights, or "".</summary>
    public string ScratchConfig { get; init; } = "";

    public long ScratchSeed { get; init; }

    /// <summary>A checkpoint whose weights start the run, or "".</summary>
    public string InitialCheckpoint { get; init; } = "";

    /// <summary>A checkpoint of this run to go on from, or "".</summary>
    public string ResumeFrom { get; init; } = "";

    /// <summary>Where the weights start, unless they are random.</summary>
    [JsonIgnore]
    public string StartModel => BaseModel.Length > 0 ? BaseModel : InitialCheckpoint;

    /// <summary>Adapters; null for none.</summary>
    public LoraSpec? Lora { get; init; }

    /// <summary>An adapter to go on from, whose config decides all but dropout, or "".</summary>
    public string LoraAdapter { get; init; } = "";

    /// <summary>Frozen weights are held for compute alone, and checkpoints refer to <see cref="StartModel"/> for them.</summary>
    public bool HasBase { get; init; }

    public required long Steps { get; init; }

    public double Epochs { get; init; }

    /// <summary>The stage that this start trains, or null for a run without stages. Steps, epochs, rates and schedule are the stage's.</summary>
    public TrainStage? Stage { get; init; }

    public required int GlobalBatchRows { get; init; }

    /// <summary>What is kept between forward and backward, and where.</summary>
    public ActivationSpec Activations { get; init; } = new();

    public int HeadChunkTokens { get; init; }

    /// <summary>How the run is spread over the ranks.</summary>
    public ParallelSpec Parallel { get; init; } = new();

    public OptimizerKind Optimizer { get; init; } = OptimizerKind.AdamW;

    public required double LearningRate { get; init; }

    public required double Beta1 { get; init; }

    public required double Beta2 { get; init; }

    public required double Epsilon { get; init; }

    public required double WeightDecay { get; init; }

    public required double MaxGradNorm { get; init; }

    /// <summary>Which weights are trained, and how fast.</summary>
    public WeightRates Rates { get; init; } = new();

    public required TrainSchedule Schedule { get; init; }

    /// <summary>Of fp16.</summary>
    public required TrainLossScale LossScale { get; init; }

    public required TrainGuard Guard { get; init; }

    /// <summary>After a rollback: the rows before this batch are left out.</summary>
    public long FirstBatch { get; init; }

    public double NeftuneAlpha { get; init; }

    public long Seed { get; init; }

    /// <summary>Datasets read together; empty for the worker's dataset alone.</summary>
    public IReadOnlyList<TrainMixturePart> Mixture { get; init; } = [];

    public int MixtureBuckets { get; init; } = 1;

    public long CheckpointIntervalSteps { get; init; }

    /// <summary>0: not by time.</summary>
    public long CheckpointIntervalSeconds { get; init; }

    /// <summary>Held-out data, or null.</summary>
    public TrainHeldOut? HeldOut { get; init; }

    /// <summary>Texts for TensorBoard, or null.</summary>
    public TrainSamples? Samples { get; init; }

    /// <summary>First of the steps that are profiled.</summary>
    public long ProfileFirstStep { get; init; }

    /// <summary>How many; 0: none.</summary>
    public int ProfileSteps { get; init; }

    /// <summary>FLOP/s of all ranks at most; 0: measured.</summary>
    public double PeakFlops { get; init; }

    /// <summary>Tells TensorBoard files of attempts apart.</summary>
    public required string AttemptName { get; init; }
}

/// <summary>A stage of a run, in steps of the whole run.</summary>
/// <param name="Name">For messages.</param>
/// <param name="StartStep">Steps of the run before it.</param>
/// <param name="FirstRow">Rows that earlier stages took of its dataset.</param>
/// <param name="MomentsStep">Steps before the moments were last zero.</param>
/// <param name="ResetsMoments">They are zero when it begins.</param>
/// <param name="ContinuesSchedule">The schedule is that of all stages.</param>
/// <param name="RunSteps">Steps of all stages.</param>
internal sealed record TrainStage(string Name, long StartStep, long FirstRow, long MomentsStep, bool ResetsMoments, bool ContinuesSchedule, long RunSteps);

/// <summary>The learning rate over the steps. A ratio is of the run's steps, which only the worker knows where epochs decide; it counts where the steps are 0.</summary>
/// <param name="Kind">Name of a ScheduleKind of the engine.</param>
/// <param name="WarmupSteps">Until the peak.</param>
/// <param name="WarmupRatio">The same.</param>
/// <param name="MinLearningRateRatio">Of the last step.</param>
/// <param name="DecaySteps">Of WarmupStableDecay.</param>
/// <param name="DecayRatio">The same.</param>
/// <param name="DecayShape">Name of a DecayShape of the engine.</param>
/// <param name="Power">Of Polynomial.</param>
internal sealed record TrainSchedule(string Kind, long WarmupSteps, double WarmupRatio, double MinLearningRateRatio, long DecaySteps, double DecayRatio, string DecayShape, double Power);

/// <summary>Guard against spikes: see the engine's GuardSpec; actions by their names there.</summary>
internal sealed record TrainGuard(string OnNotFinite, string OnSpike, int WindowSteps, double Deviations, int MaxSkipsInRow);

/// <summary>Evaluations of a run.</summary>
/// <param name="Datasets">At least one; labels differ.</param>
/// <param name="IntervalSteps">0: at the end only.</param>
/// <param name="AtStart">Before the first step too.</param>
/// <param name="BestBy">A label, or "" for all.</param>
/// <param name="MaxRows">Of each; 0: all.</param>
internal sealed record TrainHeldOut(IReadOnlyList<TrainHeldOutDataset> Datasets, long IntervalSteps, bool AtStart, string BestBy, long MaxRows);

internal sealed record TrainSamples(IReadOnlyList<string> Prompts, long IntervalSteps, int MaxNewTokens, string Tokenizer);

internal sealed record TrainHeldOutDataset(string Label, string Dataset);

/// <summary>A dataset of a mixture: see the engine's MixturePart.</summary>
internal sealed record TrainMixturePart(string Dataset, double Weight);

/// <summary>Dynamic loss scaling: see the engine's LossScaleSpec.</summary>
internal sealed record TrainLossScale(double Initial, double GrowthFactor, double BackoffFactor, long GrowthInterval);

/// <summary>What speeds are to be predicted of.</summary>
/// <param name="ModelConfig">config.json of the model.</param>
/// <param name="RowTokens">Of a row.</param>
/// <param name="RowDocuments">Documents of a row.</param>
/// <param name="LabelledPart">Of its tokens.</param>
/// <param name="Rates">Which weights are trained.</param>
/// <param name="Lora">Its adapters; null for none.</param>
/// <param name="HasBase">Frozen weights are held for compute alone.</param>
/// <param name="Cases">The layouts.</param>
internal sealed record CalibrateSpec(string ModelConfig, int RowTokens, int RowDocuments, double LabelledPart, WeightRates Rates, LoraSpec? Lora, bool HasBase, IReadOnlyList<CalibrateCase> Cases);

internal sealed record CalibrateCase(ParallelSpec Parallel, int GlobalBatchRows, int MicroBatchRows, ActivationSpec Activations, int HeadChunkTokens, OptimizerKind Optimizer);

/// <summary>Asks whether so many ranks can compute on this host's GPUs.</summary>
internal sealed record DevicesSpec(int Ranks);

internal sealed record EvaluateSpec(string Model);

/// <summary>Texts to continue. Every field is what the service resolved.</summary>
internal sealed record GenerateSpec
{
    /// <summary>A Hugging Face folder or a checkpoint.</summary>
    public required string Model { get; init; }

    public required string Tokenizer { get; init; }

    public required IReadOnlyList<string> Prompts { get; init; }

    public required int MaxNewTokens { get; init; }

    public required IReadOnlyList<int> StopIds { get; init; }

    public required IReadOnlyList<string> StopStrings { get; init; }

    public bool IgnoreEndOfText { get; init; }

    public double Temperature { get; init; }

    public int TopK { get; init; }

    public double TopP { get; init; } = 1;

    public double MinP { get; init; }

    public double RepetitionPenalty { get; init; } = 1;

    public long Seed { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UseStringEnumConverter = true, WriteIndented = true)]
[JsonSerializable(typeof(WorkerSpec))]
internal sealed partial class WorkerSpecJson : JsonSerializerContext;
