using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;
using Drover.Trainer.Parallelism;

namespace Drover.Trainer.Worker;

/// <summary>Trains: loads, goes on from a checkpoint where one is named, then hands over to <see cref="TrainLoop"/>.</summary>
internal static class TrainCommand
{
    public static void Run(RankContext rank)
    {
        WorkerSpec spec = rank.Spec;
        TrainSpec train = spec.Train!;
        using TrainingRows rows = TrainingRows.OpenAsync(rank, train).Finish();
        RunStart start = RunStart.OpenAsync(rank, train).Finish();
        (LlamaConfig config, CheckpointReader? resume) = (start.Config, start.Resume);
        foreach (PackedDataset dataset in rows.Datasets)
            CheckVocabulary(dataset.Manifest, config, dataset.Prefix);
        string names = string.Join(", ", rows.Datasets.Select(d => d.Prefix));
        // A stage that begins may have another dataset than the one before.
        bool begins = train.Stage is { } stage && resume?.Manifest.Step == stage.StartStep;
        if (resume is not null && !begins && resume.Manifest.DatasetHash != rows.Hash)
            throw new DroverException(FailureCode.FailedPrecondition, "DATASET_CHANGED", $"The dataset '{names}' is not the one that '{train.ResumeFrom}' was trained on. Start a run of another name.");

        long stageSteps = TotalSteps(train, rows.Order.RowsPerEpoch), steps = stageSteps + (train.Stage?.StartStep ?? 0);
        using var engine = new TrainingEngine(EngineSpecOf(rank, train, stageSteps) with { Lora = start.Lora, HasBase = train.HasBase }, config, rank.Collectives, rows.Source, rows.Order);
        start.Load(engine);
        if (resume?.Manifest.NextBatch is { } next && !begins)
            NextBatch.Check(engine, next, spec.Precision, resume.Prefix);
        engine.SkipToBatch(train.FirstBatch);
        engine.PlaceOfRow = new RowPlaces(rows.Datasets).Of;

        var blank = new CheckpointManifest
        {
            Run = train.Run,
            Step = engine.StepsDone,
            RowsConsumed = (engine.StepsDone + engine.Guard.SkippedBatches) * train.GlobalBatchRows,
            Guard = engine.Guard,
            TokensSeen = resume?.Manifest.TokensSeen ?? 0,
            Loss = resume?.Manifest.Loss ?? 0,
            LossScale = engine.LossScale,
            Base = start.Base,
            Adapter = start.Lora,
            HeldOut = resume?.Manifest.HeldOut,
            ModelConfig = config.ToJson(),
            RunSpec = train.RunSpec,
            Dataset = rows.Datasets[0].Prefix,
            DatasetHash = rows.Hash,
            TokenizerHash = rows.Datasets[0].Manifest.TokenizerHash,
            Shards = [],
            Tensors = [],
        };
        using HeldOutEvaluation? heldOut = HeldOutEvaluation.OpenAsync(rank, train.HeldOut, config).Finish();
        using var loop = new TrainLoop(rank, train, engine, blank, steps, heldOut, TextSamples.OpenAsync(rank, train.Samples).Finish());
        loop.Run();
    }

    /// <summary>Refuses rows with ids that the model has no embedding for.</summary>
    public static void CheckVocabulary(DatasetManifest manifest, LlamaConfig config, string dataset)
    {
        if (manifest.VocabularySize > config.VocabSize)
            throw new DroverException(FailureCode.FailedPrecondition, "VOCABULARY_MISMATCH", $"The dataset '{dataset}' was made with a tokenizer of {manifest.VocabularySize} ids, and the model has {config.VocabSize} embedding rows. Expand the model with that tokenizer, or prepare the data with the model's.");
    }

    /// <summary>Optimizer steps of the run: as asked for, or as many as the epochs need.</summary>
    public static long TotalSteps(TrainSpec train, long rows) =>
        train.Steps > 0 ? train.Steps : Math.Max(1, (long)Math.Ceiling(train.Epochs * rows / train.GlobalBatchRows));

    private static EngineSpec EngineSpecOf(RankContext rank, TrainSpec train, long steps) => new()
    {
        Device = rank.Device,
        Start = train.Stage is { } stage ? new StageStart(stage.StartStep, stage.FirstRow, stage.MomentsStep, stage.ContinuesSchedule ? 0 : stage.StartStep) : default,
        Precision = EvaluateCommand.PrecisionOf(rank.Spec),
        GlobalBatchRows = train.GlobalBatchRows,
        MicroBatchRows = rank.Spec.MicroBatchRows,
        Activations = train.Activations,
        HeadChunkTokens = train.HeadChunkTokens,
        Parallel = train.Parallel,
        Optimizer = new AdamWSpec
        {
            Kind = train.Optimizer,
            LearningRate = train.LearningRate,
            Beta1 = train.Beta1,
            Beta2 = train.Beta2,
            Epsilon = train.Epsilon,
            WeightDecay = train.WeightDecay,
        },
        Rates = train.Rates,
        Schedule = ScheduleOf(train.Schedule, train.Stage is { ContinuesSchedule: true } continued ? continued.RunSteps : steps),
        LossScale = new LossScaleSpec
        {
            Initial = train.LossScale.Initial,
            GrowthFactor = train.LossScale.GrowthFactor,
            BackoffFactor = train.LossScale.BackoffFactor,
            GrowthInterval = train.LossScale.GrowthInterval,
        },
        Guard = new GuardSpec
        {
            OnNotFinite = Enum.Parse<AnomalyAction>(train.Guard.OnNotFinite),
            OnSpike = Enum.Parse<AnomalyAction>(train.Guard.OnSpike),
            WindowSteps = train.Guard.WindowSteps,
            Deviations = train.Guard.Deviations,
            MaxSkipsInRow = train.Guard.MaxSkipsInRow,
        },
        MaxGradNorm = train.MaxGradNorm,
        NeftuneAlpha = train.NeftuneAlpha,
        Seed = train.Seed,
        Threads = rank.Spec.Threads,
    };

    private static ScheduleSpec ScheduleOf(TrainSchedule schedule, long steps) => new()
    {
        Kind = Enum.Parse<ScheduleKind>(schedule.Kind),
        TotalSteps = steps,
        WarmupSteps = schedule.WarmupSteps > 0 ? schedule.WarmupSteps : ScheduleSpec.StepsOf(schedule.WarmupRatio, steps),
        MinLearningRateRatio = schedule.MinLearningRateRatio,
        DecaySteps = schedule.DecaySteps > 0 ? schedule.DecaySteps : ScheduleSpec.StepsOf(schedule.DecayRatio, steps),
        DecayShape = Enum.Parse<DecayShape>(schedule.DecayShape),
        Power = schedule.Power,
    };
}
