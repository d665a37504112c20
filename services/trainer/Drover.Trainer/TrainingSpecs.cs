using System.Text;
using System.Text.RegularExpressions;
using Drover.Formats.Checkpoints;
using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;
using Google.Protobuf;

namespace Drover.Trainer;

/// <summary>What can be said of a training spec by itself: wrong fields, defaults, identity.</summary>
internal static partial class TrainingSpecs
{
    private const int DefaultRestarts = 3;
    private const int MaxRanks = 1024;

    /// <summary>Every wrong field, as far as can be told without the model.</summary>
    public static List<string> Problems(TrainingSpec spec)
    {
        if (spec.Stages.Count > 0)
            return [.. TrainingStages.Problems(spec)];
        var problems = new List<string>();
        void Require(bool good, string what)
        {
            if (!good)
                problems.Add(what);
        }

        Require(Name().IsMatch(spec.Name), $"name is '{spec.Name}'; it is made of lower-case letters, digits and dashes, 1 to 100 of them");
        Require(spec.Dataset.Length > 0 != spec.Mixture.Count > 0, spec.Mixture.Count > 0 ? "dataset and mixture are both given: name one dataset, or the parts of a mixture" : "dataset is empty; name a prepared dataset, e.g. datasets/mine");
        Require(spec.Mixture.All(p => p.Dataset.Length > 0 && p.Weight >= 0 && double.IsFinite(p.Weight)), "mixture: each part has a dataset and a weight more than 0");
        Require(spec.Mixture.Select(p => p.Dataset).Distinct().Count() == spec.Mixture.Count, "mixture: a dataset is named twice; give it a larger weight");
        Require(spec.MixtureBuckets is >= 0 and <= 100_000 && (spec.MixtureBuckets == 0 || spec.Mixture.Count > 0), $"mixture_buckets is {spec.MixtureBuckets}; give 1 to 100000, with a mixture");
        Require(spec.Steps >= 0, $"steps is {spec.Steps}");
        Require(spec.Epochs >= 0 && double.IsFinite(spec.Epochs), $"epochs is {spec.Epochs}");
        Require(spec.Steps != 0 || spec.Epochs != 0, "steps and epochs are both 0: give one");
        Require(spec.CheckpointIntervalSteps >= 0, $"checkpoint_interval_steps is {spec.CheckpointIntervalSteps}");
        Require(spec.CheckpointIntervalSeconds >= 0, $"checkpoint_interval_seconds is {spec.CheckpointIntervalSeconds}");
        Require(spec.Retention is null or { KeepLast: > 0, KeepEverySteps: >= 0 } or { KeepLast: 0, KeepEverySteps: 0 }, $"retention has keep_last {spec.Retention?.KeepLast} and keep_every_steps {spec.Retention?.KeepEverySteps}; keep_last is 1 or more where keep_every_steps is set, and neither is negative");
        Require(spec.MaxRestarts >= -1, $"max_restarts is {spec.MaxRestarts}; give a number, 0 for {DefaultRestarts}, or -1 for none");
        Require(spec.NeftuneAlpha >= 0 && double.IsFinite(spec.NeftuneAlpha), $"neftune_alpha is {spec.NeftuneAlpha}");
        Require(spec.PeakFlopsPerSecond >= 0 && double.IsFinite(spec.PeakFlopsPerSecond), $"peak_flops_per_second is {spec.PeakFlopsPerSecond}");
        problems.AddRange(PlanProblems(spec));
        Require(spec.Lora is null || spec.InitialCase != TrainingSpec.InitialOneofCase.FromScratch, "lora trains adapters beside a model that is there; with from_scratch there is none: leave lora out, or name a base_model");
        problems.AddRange(OptimizerProblems(spec.Optimizer ?? new OptimizerSpec()));
        problems.AddRange(LossScaleSpecs.Problems(spec.LossScale, spec.Precision));
        problems.AddRange(ScheduleSpecs.Problems(spec.Schedule ?? new ScheduleSpec(), spec.Steps));
        problems.AddRange(HeldOutSpecs.Problems(spec.HeldOut));
        problems.AddRange(GuardSpecs.Problems(spec.Guard));
        problems.AddRange(ProfileSpecs.Problems(spec.Profile));
        problems.AddRange(SampleSpecs.Problems(spec));
        return problems;
    }

    /// <summary>Every wrong field of those that decide what lies where.</summary>
    public static List<string> PlanProblems(TrainingSpec spec)
    {
        var problems = new List<string>();
        void Require(bool good, string what)
        {
            if (!good)
                problems.Add(what);
        }

        Require(spec.InitialCase != TrainingSpec.InitialOneofCase.None, "base_model, from_scratch or checkpoint is missing: where do the weights start?");
        Require(spec.InitialCase != TrainingSpec.InitialOneofCase.BaseModel || spec.BaseModel.Length > 0, "base_model is empty");
        Require(spec.InitialCase != TrainingSpec.InitialOneofCase.Checkpoint || spec.Checkpoint.Length > 0, "checkpoint is empty");
        Require(spec.InitialCase != TrainingSpec.InitialOneofCase.FromScratch || spec.FromScratch.Config.Length > 0, "from_scratch.config is empty; name a config.json of the object store");
        Require(spec.Ranks is >= 0 and <= MaxRanks, $"ranks is {spec.Ranks}; give 1 to {MaxRanks}");
        Require(spec.ThreadsPerRank >= 0, $"threads_per_rank is {spec.ThreadsPerRank}");
        Require(spec.GlobalBatchRows >= 1, $"global_batch_rows is {spec.GlobalBatchRows}; give 1 or more");
        Require(spec.MicroBatchRows >= 0, $"micro_batch_rows is {spec.MicroBatchRows}");
        Require(spec.MemoryLimitBytes >= 0, $"memory_limit_bytes is {spec.MemoryLimitBytes}");
        Require(Enum.IsDefined(spec.Precision), $"precision {(int)spec.Precision} is unknown");
        Require(Enum.IsDefined(spec.Device), $"device {(int)spec.Device} is unknown");
        Require(spec.HeadChunkTokens >= 0, $"head_chunk_tokens is {spec.HeadChunkTokens}");
        problems.AddRange(ParallelismSpecs.Problems(spec.Parallelism));
        problems.AddRange(ActivationSpecs.Problems(spec));
        problems.AddRange(Layout.MomentBlocks.Problems(KindOf(spec), ParallelismSpecs.Resolve(spec.Parallelism)));
        problems.AddRange(LoraSpecs.Problems(spec));
        Layout.ParallelSpec parallel = ParallelismSpecs.Resolve(spec.Parallelism);
        if (spec is { GlobalBatchRows: >= 1, MicroBatchRows: >= 0, Ranks: >= 0 } && parallel is { TensorParallel: > 0, PipelineParallel: > 0, SequenceParallel: > 0 })
        {
            int replicas = Math.Max(1, parallel.DataParallel(Ranks(spec)));
            long unit = (long)MicroBatchRows(spec) * replicas;
            Require(spec.GlobalBatchRows % unit == 0, $"global_batch_rows ({spec.GlobalBatchRows}) is not a multiple of micro_batch_rows ({MicroBatchRows(spec)}) times the data-parallel replicas ({replicas}); the nearest that works is {Math.Max(1, (spec.GlobalBatchRows + (unit / 2)) / unit) * unit}");
        }

        return problems;
    }

    private static List<string> OptimizerProblems(OptimizerSpec optimizer)
    {
        var problems = new List<string>();
        void Require(bool good, string what)
        {
            if (!good)
                problems.Add(what);
        }

        Require(optimizer.LearningRate >= 0 && double.IsFinite(optimizer.LearningRate), $"optimizer.learning_rate is {optimizer.LearningRate}");
        Require(optimizer.Beta1 is >= 0 and < 1, $"optimizer.beta1 is {optimizer.Beta1}");
        Require(optimizer.Beta2 is >= 0 and < 1, $"optimizer.beta2 is {optimizer.Beta2}");
        Require(optimizer.Epsilon >= 0, $"optimizer.epsilon is {optimizer.Epsilon}");
        Require(optimizer.WeightDecay >= 0, $"optimizer.weight_decay is {optimizer.WeightDecay}");
        Require(optimizer.MaxGradNorm >= 0, $"optimizer.max_grad_norm is {optimizer.MaxGradNorm}");
        return problems;
    }

    /// <summary>Ranks; 0 means 1.</summary>
    public static int Ranks(TrainingSpec spec) => Math.Max(1, spec.Ranks);

    /// <summary>Threads of each rank; 0 divides this machine's cores.</summary>
    public static int Threads(TrainingSpec spec) => spec.ThreadsPerRank > 0 ? spec.ThreadsPerRank : Math.Max(1, Environment.ProcessorCount / Ranks(spec));

    /// <summary>Rows of a micro-batch; 0 means 1.</summary>
    public static int MicroBatchRows(TrainingSpec spec) => Math.Max(1, spec.MicroBatchRows);

    /// <summary>Restarts that are allowed.</summary>
    public static int Restarts(TrainingSpec spec) => spec.MaxRestarts switch
    {
        0 => DefaultRestarts,
        -1 => 0,
        _ => spec.MaxRestarts,
    };

    /// <summary>The datasets that a spec names.</summary>
    public static IReadOnlyList<string> Datasets(TrainingSpec spec) =>
        spec.Mixture.Count > 0 ? [.. spec.Mixture.Select(p => p.Dataset)] : spec.Dataset.Length > 0 ? [spec.Dataset] : [];

    /// <summary>Where a run keeps what it is.</summary>
    public static string IdentityKey(TrainingSpec spec) => $"{RunKeys.Run(spec.Name)}/spec.json";

    /// <summary>The part of a spec that decides its numbers, as JSON; not how it is spread over a machine, nor how often it is saved or looked at.</summary>
    public static byte[] Identity(TrainingSpec spec)
    {
        TrainingSpec identity = spec.Clone();
        (identity.Ranks, identity.ThreadsPerRank, identity.MicroBatchRows, identity.Device) = (0, 0, 0, Device.Unspecified);
        identity.Activations = null;
        (identity.Recompute, identity.HeadChunkTokens, identity.CheckpointIntervalSteps, identity.MaxRestarts) = (false, 0, 0, 0);
        (identity.Parallelism, identity.HeldOut, identity.Guard, identity.Profile, identity.PeakFlopsPerSecond) = (null, null, null, null, 0);
        (identity.PredictSpeed, identity.MemoryLimitBytes, identity.Samples) = (false, 0, null);
        (identity.CheckpointIntervalSeconds, identity.Retention) = (0, null);
        return Encoding.UTF8.GetBytes(JsonFormatter.Default.Format(identity));
    }

    /// <summary>What the ranks are told, every default filled in.</summary>
    /// <param name="blank">Of the launcher.</param>
    /// <param name="spec">Checked.</param>
    /// <param name="resumeFrom">A checkpoint of this run, or "".</param>
    /// <param name="attempt">Letters and digits that no other attempt has.</param>
    /// <param name="firstBatch">After a rollback: rows before this batch are left out.</param>
    /// <param name="stage">The stage that <paramref name="spec"/> is of, and the whole run's spec; null for a run without stages.</param>
    public static WorkerSpec ForWorkers(WorkerSpec blank, TrainingSpec spec, string resumeFrom, string attempt, long firstBatch = 0, (TrainStage Stage, TrainingSpec Run)? stage = null)
    {
        OptimizerSpec optimizer = spec.Optimizer ?? new OptimizerSpec();
        return blank with
        {
            Threads = Threads(spec),
            Device = NameOf(spec.Device),
            Precision = NameOf(spec.Precision),
            MicroBatchRows = MicroBatchRows(spec),
            Dataset = spec.Dataset,
            Train = new TrainSpec
            {
                Run = spec.Name,
                RunSpec = JsonFormatter.Default.Format(stage?.Run ?? spec),
                Stage = stage?.Stage,
                BaseModel = spec.BaseModel,
                ScratchConfig = spec.FromScratch?.Config ?? "",
                ScratchSeed = spec.FromScratch?.Seed ?? 0,
                InitialCheckpoint = spec.Checkpoint,
                ResumeFrom = resumeFrom,
                Steps = spec.Steps,
                Epochs = spec.Epochs,
                GlobalBatchRows = spec.GlobalBatchRows,
                Activations = ActivationSpecs.Resolve(spec),
                HeadChunkTokens = spec.HeadChunkTokens,
                Parallel = ParallelismSpecs.Resolve(spec.Parallelism),
                Optimizer = KindOf(spec),
                LearningRate = Or(optimizer.LearningRate, 3e-4),
                Beta1 = Or(optimizer.Beta1, 0.9),
                Beta2 = Or(optimizer.Beta2, 0.95),
                Epsilon = Or(optimizer.Epsilon, 1e-8),
                WeightDecay = optimizer.HasWeightDecay ? optimizer.WeightDecay : 0.1,
                MaxGradNorm = optimizer.HasMaxGradNorm ? optimizer.MaxGradNorm : 1.0,
                Rates = RatesOf(spec),
                Lora = spec.Lora is { } lora ? LoraSpecs.Resolve(lora) : null,
                LoraAdapter = spec.Lora?.Adapter ?? "",
                HasBase = stage is null && LoraSpecs.HasBase(spec),
                LossScale = LossScaleSpecs.Resolve(spec.LossScale ?? new LossScaleSpec()),
                Schedule = ScheduleSpecs.Resolve(spec.Schedule ?? new ScheduleSpec()),
                NeftuneAlpha = spec.NeftuneAlpha,
                Seed = spec.Seed,
                Mixture = [.. spec.Mixture.Select(p => new TrainMixturePart(p.Dataset, Or(p.Weight, 1)))],
                MixtureBuckets = Math.Max(1, spec.MixtureBuckets),
                CheckpointIntervalSteps = spec.CheckpointIntervalSteps,
                CheckpointIntervalSeconds = spec.CheckpointIntervalSeconds,
                Samples = SampleSpecs.Resolve(spec),
                ProfileFirstStep = spec.Profile?.FirstStep ?? 0,
                ProfileSteps = ProfileSpecs.StepsOf(spec.Profile),
                PeakFlops = spec.PeakFlopsPerSecond,
                Guard = GuardSpecs.Resolve(spec.Guard),
                FirstBatch = firstBatch,
                HeldOut = HeldOutSpecs.Resolve(spec.HeldOut),
                AttemptName = attempt,
            },
        };
    }

    /// <summary>Which weights are trained, and how fast.</summary>
    public static Layout.WeightRates RatesOf(TrainingSpec spec) => new()
    {
        Frozen = [.. spec.Frozen],
        EmbeddingsOnly = spec.EmbeddingsOnly,
        Groups = [.. spec.LearningRateGroups.Select(g => new Layout.WeightRate(g.Pattern, g.Factor))],
    };

    /// <summary>Which optimizer.</summary>
    public static Layout.OptimizerKind KindOf(TrainingSpec spec) => spec.Optimizer is { Kind: not OptimizerKind.Unspecified } given
        ? (Layout.OptimizerKind)(int)given.Kind // the numbers are the same
        : Layout.OptimizerKind.AdamW;

    /// <summary>What a precision is called towards the ranks.</summary>
    public static string NameOf(Precision precision) => precision switch
    {
        Precision.Fp32 => "fp32",
        Precision.Fp16 => "fp16",
        _ => "bf16",
    };

    /// <summary>What a device is called towards the ranks.</summary>
    public static string NameOf(Device device) => device switch
    {
        Device.Cpu => WorkerSpec.Cpu,
        Device.Cuda => WorkerSpec.Cuda,
        _ => "auto",
    };

    private static double Or(double value, double fallback) => value == 0 ? fallback : value;

    [GeneratedRegex("^[a-z0-9-]{1,100}$", RegexOptions.CultureInvariant)]
    private static partial Regex Name();
}
