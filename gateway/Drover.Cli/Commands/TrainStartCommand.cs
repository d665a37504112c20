using System.CommandLine;
using System.Globalization;
using Drover.Cli.Inputs;
using Drover.Cli.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;

namespace Drover.Cli.Commands;

/// <summary><c>drover train start</c>.</summary>
internal static class TrainStartCommand
{
    private static readonly Argument<string> Name = new("NAME") { Description = "Name of the run: runs/NAME holds its checkpoints" };
    private static readonly Option<string?> Model = new("--model") { Description = "Begin with a Hugging Face folder or reference", HelpName = "MODEL" };
    private static readonly Option<string?> Config = new("--config") { Description = "Begin with random weights for this config.json", HelpName = "PATH" };
    private static readonly Option<string?> Checkpoint = new("--checkpoint") { Description = "Begin with the weights of a checkpoint", HelpName = "CHECKPOINT" };
    private static readonly Option<string[]> Dataset = new("--dataset") { Description = "E.g. datasets/my-data; given several times, or with a weight (my-data=0.5: an epoch reads half of its rows), a mixture", Required = true, HelpName = "DATASET[=WEIGHT]" };
    private static readonly Option<int> Buckets = new("--mixture-buckets") { Description = "Of a mixture: bins that each dataset is divided into; an epoch reads one of each in turn", HelpName = "BUCKETS" };
    private static readonly Option<string> Tokenizer = new("--tokenizer") { Description = "The dataset's tokenizer", Required = true, HelpName = "TOKENIZER" };
    private static readonly Option<long> Steps = new("--steps") { Description = "Optimizer steps; or give --epochs" };
    private static readonly Option<double> Epochs = new("--epochs") { Description = "Passes over the dataset" };
    private static readonly Option<int> GlobalBatch = new("--batch") { Description = "Rows of one optimizer step, over all ranks", DefaultValueFactory = _ => 8 };
    private static readonly Option<int> MicroBatch = new("--micro-batch") { Description = "Rows of one forward pass of one replica", DefaultValueFactory = _ => 1 };
    private static readonly Option<int> Ranks = new("--ranks") { Description = "Processes that train together (more than one needs mpirun)", DefaultValueFactory = _ => 1 };
    private static readonly Option<int> Threads = new("--threads-per-rank") { Description = "0 divides the machine's cores" };
    private static readonly Option<double> LearningRate = new("--learning-rate") { Description = "Peak learning rate; 0 means 3e-4" };
    private static readonly Option<long> Warmup = new("--warmup-steps") { Description = "Steps of linear warm-up" };
    private static readonly Option<double> WarmupRatio = new("--warmup-ratio") { Description = "The same as a part of the run, 0 to 1" };
    private static readonly Option<ScheduleKind> Schedule = EnumOption.Of("--schedule", "How the learning rate goes after the warm-up", ("cosine", ScheduleKind.Cosine), ("constant", ScheduleKind.Constant), ("linear", ScheduleKind.Linear), ("wsd", ScheduleKind.Wsd), ("polynomial", ScheduleKind.Polynomial));
    private static readonly Option<double> DecayRatio = new("--decay-ratio") { Description = "With --schedule wsd: the last part of the run, 0 to 1, in which the learning rate comes down; 0 means 0.1" };
    private static readonly Option<double?> WeightDecay = new("--weight-decay") { Description = "Default 0.1" };
    private static readonly Option<double> Neftune = new("--neftune-alpha") { Description = "Noise on the embeddings while training (NEFTune); 0 for none" };
    private static readonly Option<string[]> Frozen = new("--freeze") { Description = "Weights that are not trained, e.g. 'model.layers.*'; may be given again", HelpName = "PATTERN" };
    private static readonly Option<bool> EmbeddingsOnly = new("--embeddings-only") { Description = "Train the input embedding and the output matrix alone" };
    private static readonly Option<OptimizerKind> Optimizer = EnumOption.Of("--optimizer", "adamw-8bit keeps the moments in a quarter of the memory", ("adamw", OptimizerKind.Adamw), ("adamw-8bit", OptimizerKind.Adamw8Bit));
    private static readonly Option<bool> Recompute = new("--recompute") { Description = "Save memory: run layers forward again in the backward pass" };
    private static readonly Option<RecomputeMode> RecomputeModeOption = EnumOption.Of("--recompute-mode", "What is run again", ("none", RecomputeMode.None), ("full", RecomputeMode.Full), ("blocks", RecomputeMode.Blocks), ("attention", RecomputeMode.Attention), ("feed-forward", RecomputeMode.FeedForward));
    private static readonly Option<int> RecomputeBlocks = new("--recompute-blocks") { Description = "With --recompute-mode blocks: how many of the first layers", HelpName = "N" };
    private static readonly Option<bool> OffloadActivations = new("--offload-activations") { Description = "Save device memory: inputs of layers wait in host memory" };
    private static readonly Option<int> HeadChunk = new("--head-chunk-tokens") { Description = "Save memory: tokens of one slice of the head; 0 takes all at once" };
    private static readonly Option<long> CheckpointEvery = new("--checkpoint-every") { Description = "Steps between checkpoints; 0: only at the end" };
    private static readonly Option<long> CheckpointSeconds = new("--checkpoint-every-seconds") { Description = "Seconds between checkpoints, beside or in place of steps", HelpName = "SECONDS" };
    private static readonly Option<int> KeepLast = new("--keep-last") { Description = "Only the newest N checkpoints stay (and the best, the tagged); 0: all", HelpName = "N" };
    private static readonly Option<long> KeepEvery = new("--keep-every") { Description = "With --keep-last: those whose step is a multiple of N stay too", HelpName = "N" };
    private static readonly Option<string[]> HeldOut = new("--held-out") { Description = "A dataset that is not trained on, to be evaluated; may be given again", HelpName = "[LABEL=]DATASET" };
    private static readonly Option<long> EvaluateEvery = new("--evaluate-every") { Description = "Steps between evaluations on --held-out; 0: only at the end" };
    private static readonly Option<long> Seed = new("--seed") { Description = "Seed of the row order and of random weights" };
    private static readonly Option<bool> DryRun = new("--dry-run") { Description = "Check everything and start nothing" };
    private static readonly Option<Device> DeviceOption = EnumOption.Of("--device", "Where ranks compute: auto takes GPUs where there is one for each", ("auto", Device.Auto), ("cpu", Device.Cpu), ("cuda", Device.Cuda));
    private static readonly Option<Precision> PrecisionOption = EnumOption.Of("--precision", "Type of the weights in compute", ("bf16", Precision.Bf16), ("fp32", Precision.Fp32), ("fp16", Precision.Fp16));

    public static Command Build()
    {
        Command command = Own();
        foreach (Option option in ParallelismOptions.All.Concat(LoraOptions.All))
            command.Options.Add(option);
        return command;
    }

    /// <summary>What a finished run says.</summary>
    public static string Describe(TrainingJob job) =>
        $"{job.Result.Checkpoint}: {job.Result.Steps} steps, {Text.Count(job.Result.TokensSeen)} tokens, loss {Text.Loss(job.Result.FirstLoss)} -> {Text.Loss(job.Result.LastLoss)}"
        + (job.Result.BestCheckpoint.Length > 0 ? $"; best on held-out data: {job.Result.BestCheckpoint}, loss {Text.Loss(job.Result.BestLoss)}" : "")
        + (job.Result.Plan is { MeasuredTokensPerSecond: > 0 } plan ? $"; {(plan.PlannedTokensPerSecond > 0 ? $"planned {Text.Count(plan.PlannedTokensPerSecond)} tokens/s, measured " : "")}{Text.Count(plan.MeasuredTokensPerSecond)} tokens/s; planned {Text.Bytes(plan.PlannedBytes)}, measured {Text.Bytes(plan.MeasuredBytes)} in the largest rank" : "");

    private static Command Own() => new Command("start", """
        Start a training run and watch it. How it is spread over ranks is a preset and options; --dry-run shows the plan.

        Example:
          drover train start my-run --model models/base --tokenizer tokenizers/my-tokenizer --dataset datasets/my-data --steps 100 --ranks 4 --preset 3d
          drover train start my-run --model models/base --tokenizer tokenizers/my-tokenizer --dataset datasets/my-data --steps 100 --batch 8 --ranks 2
          drover train start my-run --model models/base --tokenizer tokenizers/my-tokenizer --dataset datasets/my-data --steps 100 --lora dora --lora-rank 32
        """)
    {
        Name, Model, Config, Checkpoint, Dataset, Buckets, Tokenizer, Steps, Epochs, GlobalBatch, MicroBatch, Ranks, Threads, LearningRate, Schedule, Warmup, WarmupRatio, DecayRatio, WeightDecay,
        Neftune, Frozen, EmbeddingsOnly, PrecisionOption, DeviceOption, Optimizer, Recompute, RecomputeModeOption, RecomputeBlocks, OffloadActivations, HeadChunk, CheckpointEvery, CheckpointSeconds, KeepLast, KeepEvery, HeldOut, EvaluateEvery, Seed, DryRun, JobStart.Priority, JobStart.Detach,
    }.Does(RunAsync);

    private static async Task<int> RunAsync(CliContext context, ParseResult parse)
    {
        var request = new CreateTrainingJobRequest { RequestId = JobStart.NewRequestId(), DryRun = parse.GetValue(DryRun), Spec = Spec(parse) };
        await SetStartAsync(request.Spec, new InputUploader(context), parse).ConfigureAwait(false);
        CreateTrainingJobResponse answer = await context.Trainer.CreateTrainingJobAsync(request, JobStart.Headers(parse), cancellationToken: context.Cancellation).ConfigureAwait(false);
        if (request.DryRun)
        {
            PlanTables.Write(context, answer.Plan);
            if (!context.Json)
                context.Output.WriteLine($"{request.Spec.Name}: nothing wrong");
            return ExitCodes.Ok;
        }

        TrainingJob job = answer.Job;
        return await JobStart.FollowAsync(context, parse, new JobSources(context).Trainings, job.Job, job, Describe).ConfigureAwait(false);
    }

    private static TrainingSpec Spec(ParseResult parse)
    {
        var spec = new TrainingSpec
        {
            Name = parse.GetValue(Name),
            MixtureBuckets = parse.GetValue(Buckets),
            Steps = parse.GetValue(Steps),
            Epochs = parse.GetValue(Epochs),
            GlobalBatchRows = parse.GetValue(GlobalBatch),
            MicroBatchRows = parse.GetValue(MicroBatch),
            Ranks = parse.GetValue(Ranks),
            ThreadsPerRank = parse.GetValue(Threads),
            Precision = parse.GetValue(PrecisionOption),
            Device = parse.GetValue(DeviceOption),
            Recompute = parse.GetValue(Recompute),
            Activations = new ActivationSpec { Recompute = parse.GetValue(RecomputeModeOption), RecomputeBlocks = parse.GetValue(RecomputeBlocks), Offload = parse.GetValue(OffloadActivations) },
            HeadChunkTokens = parse.GetValue(HeadChunk),
            Optimizer = new OptimizerSpec { LearningRate = parse.GetValue(LearningRate), Kind = parse.GetValue(Optimizer) },
            Schedule = new ScheduleSpec { Kind = parse.GetValue(Schedule), WarmupSteps = parse.GetValue(Warmup), WarmupRatio = parse.GetValue(WarmupRatio), DecayRatio = parse.GetValue(DecayRatio) },
            NeftuneAlpha = parse.GetValue(Neftune),
            Frozen = { parse.GetValue(Frozen) ?? [] },
            EmbeddingsOnly = parse.GetValue(EmbeddingsOnly),
            Seed = parse.GetValue(Seed),
            CheckpointIntervalSteps = parse.GetValue(CheckpointEvery),
            CheckpointIntervalSeconds = parse.GetValue(CheckpointSeconds),
            Retention = parse.GetResult(KeepLast) is null ? null : new RetentionSpec { KeepLast = parse.GetValue(KeepLast), KeepEverySteps = parse.GetValue(KeepEvery) },
            Parallelism = ParallelismOptions.Read(parse),
            Lora = LoraOptions.Read(parse),
        };
        if (parse.GetValue(HeldOut) is { Length: > 0 } heldOut)
            spec.HeldOut = new HeldOutSpec { Datasets = { heldOut.Select(HeldOutDatasetOf) }, IntervalSteps = parse.GetValue(EvaluateEvery) };
        if (parse.GetValue(WeightDecay) is { } decay)
            spec.Optimizer.WeightDecay = decay;
        SetDatasets(spec, parse.GetValue(Dataset)!);
        return spec;
    }

    private static void SetDatasets(TrainingSpec spec, string[] given)
    {
        if (given is [var one] && !one.Contains('='))
        {
            spec.Dataset = DatasetReference.Of(one);
            return;
        }

        foreach (string text in given)
        {
            string[] parts = text.Split('=', 2);
            double weight = 1;
            if (parts.Length > 1 && !double.TryParse(parts[1], NumberStyles.Float, CultureInfo.InvariantCulture, out weight))
                throw new Errors.DroverException(Errors.FailureCode.InvalidArgument, "INVALID_WEIGHT", $"--dataset '{text}': '{parts[1]}' is not a number.");
            spec.Mixture.Add(new MixturePart { Dataset = DatasetReference.Of(parts[0]), Weight = weight });
        }
    }

    private static HeldOutDataset HeldOutDatasetOf(string text) =>
        text.Split('=', 2) is [var label, var dataset] ? new HeldOutDataset { Label = label, Dataset = dataset } : new HeldOutDataset { Dataset = text };

    private static async Task SetStartAsync(TrainingSpec spec, InputUploader inputs, ParseResult parse)
    {
        spec.Tokenizer = await inputs.ResolveAsync(parse.GetValue(Tokenizer)!).ConfigureAwait(false);
        if (spec.Lora is { Adapter.Length: > 0 } lora)
            lora.Adapter = await inputs.ResolveAsync(lora.Adapter).ConfigureAwait(false);
        string?[] given = [parse.GetValue(Model), parse.GetValue(Config), parse.GetValue(Checkpoint)];
        if (given.Count(text => text is not null) != 1)
            throw new Errors.DroverException(Errors.FailureCode.InvalidArgument, "START_AMBIGUOUS", "Give exactly one of --model, --config and --checkpoint: where the weights begin.");
        if (given[0] is { } model)
            spec.BaseModel = await inputs.ResolveAsync(model).ConfigureAwait(false);
        else if (given[1] is { } config)
            spec.FromScratch = new FromScratch { Config = await inputs.ResolveAsync(config).ConfigureAwait(false), Seed = spec.Seed };
        else
            spec.Checkpoint = given[2];
    }
}
