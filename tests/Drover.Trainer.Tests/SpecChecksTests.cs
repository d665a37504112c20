using Drover.ObjectStore;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Grpc.Core;

namespace Drover.Trainer.Tests;

public sealed class SpecChecksTests : IAsyncLifetime
{
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _world = await TrainerWorld.StartAsync("--Trainer:MpirunPath=mpirun-that-is-not-there");

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task Every_wrong_field_is_named_at_once()
    {
        RpcException refused = await RefusedAsync(new TrainingSpec
        {
            Name = "No Spaces",
            MicroBatchRows = -1,
            Ranks = -1,
            NeftuneAlpha = -1,
            Optimizer = new OptimizerSpec { Beta1 = 1.5, LearningRate = -1 },
            Schedule = new ScheduleSpec { MinLearningRateRatio = 2 },
        });
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        foreach (string field in new[] { "name", "base_model", "dataset", "steps and epochs", "global_batch_rows", "micro_batch_rows", "ranks", "learning_rate", "beta1", "min_learning_rate_ratio", "neftune_alpha" })
            Assert.Contains(field, refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_global_batch_that_does_not_divide_is_refused_with_the_numbers()
    {
        TrainingSpec spec = TrainerWorld.Spec("uneven");
        spec.MicroBatchRows = 3;
        RpcException refused = await RefusedAsync(spec);
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        Assert.Contains("global_batch_rows (8) is not a multiple of micro_batch_rows (3) times the data-parallel replicas (1); the nearest that works is 9", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_schedule_that_contradicts_itself_or_does_not_fit_is_refused()
    {
        TrainingSpec spec = TrainerWorld.Spec("contradictory");
        spec.Schedule = new ScheduleSpec { Kind = ScheduleKind.Wsd, WarmupSteps = 12, WarmupRatio = 0.1, DecaySteps = 9, Power = 2 };
        RpcException refused = await RefusedAsync(spec);
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        foreach (string what in new[] { "warmup_steps and schedule.warmup_ratio are both given", "power is of the kind polynomial alone", "do not fit into the 20 steps" })
            Assert.Contains(what, refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_run_on_gpus_is_refused_where_there_are_none_and_is_the_same_run_elsewhere()
    {
        Assert.SkipWhen(File.Exists("/dev/nvidiactl"), "this machine has a GPU");
        TrainingSpec spec = TrainerWorld.Spec("gpus");
        byte[] identity = TrainingSpecs.Identity(spec);
        spec.Device = Device.Cuda;
        RpcException refused = await RefusedAsync(spec);
        Assert.Equal(StatusCode.FailedPrecondition, refused.StatusCode);
        foreach (string what in new[] { "device is cuda", "libtorch shows no CUDA", "-p:DroverCuda=true", "device: cpu" })
            Assert.Contains(what, refused.Status.Detail, StringComparison.Ordinal);
        Assert.Equal(identity, TrainingSpecs.Identity(spec));
    }

    [Fact]
    public async Task A_loss_scale_without_fp16_or_out_of_range_is_refused()
    {
        TrainingSpec spec = TrainerWorld.Spec("scaled");
        spec.LossScale = new LossScaleSpec { Initial = 0.5, GrowthFactor = 1, BackoffFactor = 1, GrowthInterval = -1 };
        RpcException refused = await RefusedAsync(spec);
        foreach (string what in new[] { "of the precision fp16 alone", "initial is 0.5", "growth_factor is 1", "backoff_factor is 1", "growth_interval is -1" })
            Assert.Contains(what, refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_pattern_that_matches_no_weight_and_a_run_that_trains_nothing_are_refused()
    {
        TrainingSpec spec = TrainerWorld.Spec("frozen");
        spec.Frozen.Add("model.layer.*");
        spec.Frozen.Add("*.weight");
        spec.LearningRateGroups.Add(new LearningRateGroup { Pattern = "lm_head.*", Factor = 0 });
        RpcException refused = await RefusedAsync(spec);
        foreach (string what in new[] { "'model.layer.*' matches no weight", "factor of 'lm_head.*' is 0", "every weight is frozen" })
            Assert.Contains(what, refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_dataset_or_model_that_is_not_there_is_named()
    {
        TrainingSpec noDataset = TrainerWorld.Spec("run");
        noDataset.Dataset = "datasets/nowhere";
        RpcException refused = await RefusedAsync(noDataset);
        Assert.Equal(StatusCode.NotFound, refused.StatusCode);
        Assert.Contains("datasets/nowhere", refused.Status.Detail, StringComparison.Ordinal);

        TrainingSpec noModel = TrainerWorld.Spec("run");
        noModel.BaseModel = "models/nowhere";
        refused = await RefusedAsync(noModel);
        Assert.Equal(StatusCode.NotFound, refused.StatusCode);
        Assert.Contains("models/nowhere", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_dataset_with_more_ids_than_the_model_has_rows_is_refused()
    {
        await _world.WriteDatasetAsync("datasets/large", TrainerWorld.Vocabulary + 1, "other");
        TrainingSpec spec = TrainerWorld.Spec("run");
        spec.Dataset = "datasets/large";
        RpcException refused = await RefusedAsync(spec);
        Assert.Equal(StatusCode.FailedPrecondition, refused.StatusCode);
        Assert.Contains("65 ids, and the model has 64 embedding rows", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_tokenizer_that_did_not_make_the_dataset_is_refused()
    {
        string file = SharedData.Require("tokenizers/llama2.tokenizer.model");
        await _world.Store.PutBytesAsync("tokenizers/llama2/tokenizer.model", await File.ReadAllBytesAsync(file, Cancellation), PutCondition.None, Cancellation);
        TrainingSpec spec = TrainerWorld.Spec("run");
        spec.Tokenizer = "tokenizers/llama2";
        RpcException refused = await RefusedAsync(spec);
        Assert.Equal(StatusCode.FailedPrecondition, refused.StatusCode);
        Assert.Contains("tokenizers/llama2", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task More_ranks_than_one_without_mpirun_names_the_package_and_the_way_out()
    {
        RpcException refused = await RefusedAsync(TrainerWorld.Spec("two-ranks", ranks: 2));
        Assert.Equal(StatusCode.FailedPrecondition, refused.StatusCode);
        Assert.Contains("apt-get install openmpi-bin", refused.Status.Detail, StringComparison.Ordinal);
        Assert.Contains("ranks: 1", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_run_name_belongs_to_its_spec()
    {
        TrainingSpec first = TrainerWorld.Spec("mine");
        await _world.Store.PutBytesAsync(TrainingSpecs.IdentityKey(first), TrainingSpecs.Identity(first), PutCondition.None, Cancellation);

        TrainingSpec spreadOtherwise = TrainerWorld.Spec("mine");
        (spreadOtherwise.MicroBatchRows, spreadOtherwise.CheckpointIntervalSteps, spreadOtherwise.ThreadsPerRank) = (4, 3, 2);
        await DryRunAsync(spreadOtherwise);

        TrainingSpec other = TrainerWorld.Spec("mine");
        other.Seed++;
        RpcException refused = await RefusedAsync(other);
        Assert.Equal(StatusCode.AlreadyExists, refused.StatusCode);
        Assert.Contains("mine", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_dry_run_creates_nothing()
    {
        await DryRunAsync(TrainerWorld.Spec("dry"));
        Assert.Empty((await _world.Trainer.ListTrainingJobsAsync(new ListTrainingJobsRequest(), cancellationToken: Cancellation)).Jobs);
        Assert.Null(await _world.Store.FindAsync("runs/dry/spec.json", Cancellation));
    }

    private async Task DryRunAsync(TrainingSpec spec) =>
        await _world.Trainer.CreateTrainingJobAsync(new CreateTrainingJobRequest { Spec = spec, DryRun = true }, cancellationToken: Cancellation);

    private async Task<RpcException> RefusedAsync(TrainingSpec spec) => await Assert.ThrowsAsync<RpcException>(() => DryRunAsync(spec));
}
