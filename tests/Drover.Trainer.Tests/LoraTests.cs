using System.Text.Json;
using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.Formats.Weights;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Grpc.Core;
using LoraSpec = Drover.Protocol.Trainer.V1.LoraSpec;

namespace Drover.Trainer.Tests;

/// <summary>LoRA as users have it: trained, killed, gone on, exported, trained on.</summary>
public sealed class LoraTests : IAsyncLifetime
{
    private const int NewFrom = 56;
    private const string Base = "models/base";
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _world = await TrainerWorld.StartAsync();

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task Adapters_after_an_expansion_survive_a_kill_and_come_out_merged_and_as_PEFT_has_them()
    {
        await MakeBaseAsync();
        double[] undisturbed = await _world.TrainAsync(Lora("undisturbed"));
        string name = await _world.CreateAsync(Lora("disturbed"));
        bool isKilled = false;
        List<JobEvent> events = await _world.WatchAsync(name, update =>
        {
            if (update.CheckpointCommitted is { Step: >= 9 } && !isKilled)
            {
                isKilled = true;
                _world.KillWorkers();
            }

            return Task.CompletedTask;
        });
        TrainingJob job = await _world.GetAsync(name);
        Assert.True(job.Job.State == JobState.Succeeded, $"{job.Job.Failure?.Message}\n{_world.Logs()}");
        Assert.Contains(events, e => e.Log?.Message.StartsWith("Going on from 'runs/disturbed/checkpoints/", StringComparison.Ordinal) == true);
        Assert.Equal(undisturbed, TrainerWorld.Losses(events));
        Assert.True(undisturbed[^1] < undisturbed[0], $"{undisturbed[0]} to {undisturbed[^1]}");

        // The checkpoint holds what was trained, and refers to the base for the rest.
        CheckpointReader checkpoint = await CheckpointReader.OpenAsync(_world.Store, job.Result.Checkpoint, Cancellation);
        Assert.Equal(Base, checkpoint.Manifest.Base?.Model);
        Assert.All(checkpoint.Manifest.Tensors, t => Assert.True(AdapterTensors.IsAdded(t.Name), t.Name));

        await ExportAsync(new ExportSpec { Name = "merged", Checkpoint = job.Result.Checkpoint, DataType = ExportDataType.Fp32 });
        await AssertMergedAsync();
        await ExportAsync(new ExportSpec { Name = "adapter", Checkpoint = job.Result.Checkpoint, Form = ExportForm.Adapter, AdapterBase = "someone/base" });
        await AssertAdapterAsync(checkpoint);
        // A merged model, a checkpoint that is merged while it is read, and an adapter beside its base are the same model.
        double merged = (await _world.TrainAsync(OneStep("of-merged", spec => spec.BaseModel = "models/merged")))[0];
        Assert.Equal(merged, (await _world.TrainAsync(OneStep("of-checkpoint", spec => spec.Checkpoint = job.Result.Checkpoint)))[0], 1e-6);
        Assert.Equal(merged, (await _world.TrainAsync(OneStep("of-adapter", spec => (spec.BaseModel, spec.Lora) = (Base, new LoraSpec { Adapter = "models/adapter" }))))[0], 1e-5);

        await ChangeBaseAsync();
        JobFailure changed = await ExportFailureAsync(new ExportSpec { Name = "changed", Checkpoint = job.Result.Checkpoint });
        Assert.Equal("BASE_CHANGED", changed.Reason);
    }

    [Fact]
    public async Task Two_ranks_of_tensor_parallelism_train_the_adapters_of_one()
    {
        Mpirun.Require();
        await MakeBaseAsync();
        TrainingSpec one = Lora("one"), two = Lora("two");
        (one.Precision, one.Steps, one.CheckpointIntervalSteps) = (two.Precision, two.Steps, two.CheckpointIntervalSteps) = (Precision.Fp32, 10, 0);
        (two.Ranks, two.Parallelism) = (2, new ParallelismSpec { TensorParallel = 2 });
        double[] expected = await _world.TrainAsync(one), actual = await _world.TrainAsync(two);
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], 1e-5 * expected[i]);
    }

    [Theory]
    [InlineData("dora", 0, NewFrom)]
    [InlineData("rslora", 8, 0)]
    public async Task An_adapter_loads_in_PEFT_and_one_that_PEFT_saved_is_trained_on(string preset, int rank, int newFrom)
    {
        using ReferenceChroot reference = ReferenceChroot.Require();
        await MakeBaseAsync();
        TrainingSpec spec = Lora("run");
        (spec.Steps, spec.CheckpointIntervalSteps, spec.Precision) = (10, 0, Precision.Fp32);
        spec.Lora = new LoraSpec { Preset = preset, Rank = rank, TokenRowsFrom = newFrom };
        if (newFrom == 0)
            spec.Lora.ModulesToSave.Add("lm_head");
        await _world.TrainAsync(spec);
        await ExportAsync(new ExportSpec { Name = "merged", Checkpoint = "runs/run/checkpoints/step-00000010", DataType = ExportDataType.Fp32 });
        await ExportAsync(new ExportSpec { Name = "adapter", Checkpoint = "runs/run/checkpoints/step-00000010", Form = ExportForm.Adapter });
        foreach (string model in new[] { "base", "merged", "adapter" })
            reference.CopyFolder(_world.PathOf("models/" + model), model);
        await File.WriteAllTextAsync(reference.Outside("ids.json"), JsonSerializer.Serialize(Enumerable.Range(0, 20).Select(i => (i * 7) % TrainerWorld.Vocabulary)), Cancellation);
        await reference.RunAsync(Path.Combine(Checkout.Root, "tests/goldens/peft_logits.py"), [reference.Inside("base"), reference.Inside("adapter"), reference.Inside("ids.json"), reference.Inside("peft.json"), reference.Inside("again")], Cancellation);
        float[][]? peft = JsonSerializer.Deserialize<float[][]>(await File.ReadAllTextAsync(reference.Outside("peft.json"), Cancellation));
        Assert.SkipWhen(peft is null, "needs PEFT beside transformers in the reference folder");
        await reference.RunAsync(Path.Combine(Checkout.Root, "tests/goldens/logits.py"), [reference.Inside("merged"), reference.Inside("ids.json"), reference.Inside("merged.json")], Cancellation);
        float[][] merged = JsonSerializer.Deserialize<float[][]>(await File.ReadAllTextAsync(reference.Outside("merged.json"), Cancellation))!;
        Assert.InRange(peft!.SelectMany(r => r).Zip(merged.SelectMany(r => r), (a, b) => Math.Abs(a - b)).Max(), 0, 1e-4);

        foreach (string file in Directory.GetFiles(reference.Outside("again")))
            await _world.Store.PutBytesAsync($"models/again/{Path.GetFileName(file)}", await File.ReadAllBytesAsync(file, Cancellation), PutCondition.None, Cancellation);
        double expected = (await _world.TrainAsync(OneStep("of-merged", s => s.BaseModel = "models/merged")))[0];
        Assert.Equal(expected, (await _world.TrainAsync(OneStep("of-peft", s => (s.BaseModel, s.Lora) = (Base, new LoraSpec { Adapter = "models/again" }))))[0], 1e-5);
    }

    [Fact]
    public async Task Frozen_weights_are_read_from_the_base_and_not_saved()
    {
        await MakeBaseAsync();
        TrainingSpec spec = OneStep("stage", s => (s.BaseModel, s.EmbeddingsOnly, s.Precision) = (Base, true, Precision.Bf16));
        TrainingPlan frozen = (await _world.Trainer.PlanTrainingAsync(new PlanTrainingRequest { Spec = spec }, cancellationToken: Cancellation)).Plan;
        spec.EmbeddingsOnly = false;
        TrainingPlan whole = (await _world.Trainer.PlanTrainingAsync(new PlanTrainingRequest { Spec = spec }, cancellationToken: Cancellation)).Plan;
        spec.EmbeddingsOnly = true;
        Assert.True(frozen.RankPlans[0].DeviceBytes < whole.RankPlans[0].DeviceBytes / 2);
        await _world.TrainAsync(spec);
        string checkpoint = "runs/stage/checkpoints/step-00000001";
        CheckpointReader reader = await CheckpointReader.OpenAsync(_world.Store, checkpoint, Cancellation);
        Assert.Equal([LlamaTensors.Head, LlamaTensors.Embedding], reader.Manifest.Tensors.Select(t => t.Name).Distinct().Order(StringComparer.Ordinal));
        await ExportAsync(new ExportSpec { Name = "staged", Checkpoint = checkpoint, DataType = ExportDataType.Fp32 });
        // In fp32, although it was held in bf16.
        string norm = "model.layers.1.mlp.down_proj.weight";
        Assert.Equal(await ReadAsync(Base, norm), await ReadAsync("models/staged", norm));
        Assert.NotEqual(await ReadAsync(Base, LlamaTensors.Head), await ReadAsync("models/staged", LlamaTensors.Head));
    }

    [Fact]
    public async Task Everything_wrong_with_adapters_is_told_at_once()
    {
        await MakeBaseAsync();
        TrainingSpec spec = OneStep("wrong", s => s.BaseModel = Base);
        spec.Lora = new LoraSpec { Preset = "qlora", Rank = -1, Dropout = 1, Targets = { "lm_head" }, ModulesToSave = { "wte" }, TokenRowsFrom = 64 };
        spec.EmbeddingsOnly = true;
        string told = (await Assert.ThrowsAsync<RpcException>(() => _world.CreateAsync(spec))).Status.Detail;
        foreach (string part in new[] { "lora.preset is 'qlora'", "lora.rank is -1", "lora.dropout is 1", "'lm_head' is no linear layer", "'wte' matches no module", "lora.token_rows_from is 64, and the model has 64 rows", "embeddings_only" })
            Assert.Contains(part, told, StringComparison.Ordinal);

        TrainingSpec scratch = TrainerWorld.Spec("scratch");
        scratch.Lora = new LoraSpec { Adapter = "models/none", Rank = 4 };
        told = (await Assert.ThrowsAsync<RpcException>(() => _world.CreateAsync(scratch))).Status.Detail;
        Assert.Contains("with from_scratch there is none", told, StringComparison.Ordinal);
        Assert.Contains("set nothing beside it but dropout", told, StringComparison.Ordinal);
    }

    private static TrainingSpec Lora(string name)
    {
        TrainingSpec spec = TrainerWorld.Spec(name);
        (spec.BaseModel, spec.Steps, spec.CheckpointIntervalSteps, spec.Recompute, spec.NeftuneAlpha) = (Base, 40, 1, true, 2);
        spec.Precision = Precision.Bf16;
        spec.Optimizer = new OptimizerSpec { LearningRate = 5e-3 };
        spec.Lora = new LoraSpec { Preset = "dora", Rank = 4, Dropout = 0.1, TokenRowsFrom = NewFrom };
        return spec;
    }

    private static TrainingSpec OneStep(string name, Action<TrainingSpec> set)
    {
        TrainingSpec spec = TrainerWorld.Spec(name);
        spec.Steps = 1;
        set(spec);
        return spec;
    }

    // A model that was trained a little, in fp32.
    private async Task MakeBaseAsync()
    {
        TrainingSpec spec = TrainerWorld.Spec("made");
        spec.Steps = 5;
        await _world.TrainAsync(spec);
        await ExportAsync(new ExportSpec { Name = "base", Checkpoint = "runs/made/checkpoints/step-00000005", DataType = ExportDataType.Fp32 });
    }

    private async Task AssertMergedAsync()
    {
        int columns = TrainerWorld.TinyConfig(TrainerWorld.Vocabulary).HiddenSize, old = NewFrom * columns;
        foreach ((string name, _) in LlamaTensors.All(TrainerWorld.TinyConfig(TrainerWorld.Vocabulary)))
        {
            float[] before = await ReadAsync(Base, name), after = await ReadAsync("models/merged", name);
            if (name is LlamaTensors.Embedding or LlamaTensors.Head)
            {
                Assert.Equal(before[..old], after[..old]);
                Assert.NotEqual(before[old..], after[old..]);
            }
            else
            {
                Assert.True(name.Contains("norm", StringComparison.Ordinal) == before.AsSpan().SequenceEqual(after), name);
            }
        }
    }

    private async Task AssertAdapterAsync(CheckpointReader checkpoint)
    {
        using var config = JsonDocument.Parse(await _world.Store.ReadTextAsync("models/adapter/adapter_config.json", Cancellation));
        Assert.Equal("someone/base", config.RootElement.GetProperty("base_model_name_or_path").GetString());
        SafetensorsFile file = await SafetensorsFile.OpenAsync(_world.Store, "models/adapter/adapter_model.safetensors", Cancellation);
        LogicalTensor[] trained = [.. checkpoint.Manifest.Tensors.Where(t => t.Kind == LogicalTensor.Weight)];
        Assert.Equal(trained.Select(t => "base_model.model." + t.Name).Order(StringComparer.Ordinal), file.Header.Tensors.Keys.Order(StringComparer.Ordinal));
        Protocol.Checkpoint.V1.Model listed = (await _world.Checkpoints.GetModelAsync(new GetModelRequest { Name = "models/adapter" }, cancellationToken: Cancellation)).Model;
        Assert.Contains(listed.Files, f => f.Path == "adapter_config.json");
    }

    private async Task ChangeBaseAsync()
    {
        byte[] bytes = await _world.Store.ReadAllBytesAsync($"{Base}/model.safetensors", Cancellation);
        bytes[^1] ^= 1;
        await _world.Store.PutBytesAsync($"{Base}/model.safetensors", bytes, PutCondition.None, Cancellation);
    }

    private async Task<float[]> ReadAsync(string model, string name)
    {
        IModelWeights weights = await ModelWeights.OpenAsync(_world.Store, model, Cancellation);
        long[] shape = LlamaTensors.All(weights.Config).First(w => w.Name == name).Shape;
        float[] values = new float[TensorBox.Count(shape)];
        await weights.ReadAsync(name, shape, new TensorBox(new long[shape.Length], shape), values, Cancellation);
        return values;
    }

    private async Task ExportAsync(ExportSpec spec) => Assert.Equal("", (await ExportedAsync(spec)).Job.Failure?.Message ?? "");

    private async Task<JobFailure> ExportFailureAsync(ExportSpec spec) => (await ExportedAsync(spec)).Job.Failure;

    private async Task<Export> ExportedAsync(ExportSpec spec)
    {
        string job = (await _world.Checkpoints.CreateExportAsync(new CreateExportRequest { RequestId = spec.Name, Spec = spec }, cancellationToken: Cancellation)).Export.Job.Name;
        using AsyncServerStreamingCall<WatchExportResponse> watch = _world.Checkpoints.WatchExport(new WatchExportRequest { Name = job }, cancellationToken: Cancellation);
        while (await watch.ResponseStream.MoveNext(Cancellation))
        {
        }

        return (await _world.Checkpoints.GetExportAsync(new GetExportRequest { Name = job }, cancellationToken: Cancellation)).Export;
    }
}
