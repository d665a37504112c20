using System.Text.Json;
using Drover.Formats.HuggingFace;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;

namespace Drover.Trainer.Tests;

/// <summary>
/// A LLaMA that was really trained goes through the trainer and the export, and comes out as a folder that transformers reads with the
/// logits that we have, before and after training.
/// </summary>
public sealed class StoriesExportTests : IAsyncLifetime
{
    private const string Base = "models/stories";
    private const string Dataset = "datasets/stories";
    private const int Positions = 64;
    private TrainerWorld _world = null!;
    private int[] _story = [];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _world = await TrainerWorld.StartAsync();
        if (SharedData.Find("weights/stories260K.reference.json") is not { } reference)
            return;
        using JsonDocument json = JsonDocument.Parse(await File.ReadAllBytesAsync(reference, Cancellation));
        _story = [.. json.RootElement.GetProperty("greedy_ids").EnumerateArray().Take(Positions).Select(id => id.GetInt32())];
        await StoriesModel.WriteAsync(_world.Store, Base, Cancellation);
        await _world.WriteDatasetAsync(Dataset, 512, "stories-tokenizer");
    }

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task A_run_that_changes_nothing_exports_the_weights_it_was_given()
    {
        SharedData.Require("weights/stories260K.reference.json");
        string export = await TrainAndExportAsync("unchanged", steps: 1, learningRate: 1e-30);
        HuggingFaceModel given = await HuggingFaceModel.OpenAsync(_world.Store, Base, Cancellation), got = await HuggingFaceModel.OpenAsync(_world.Store, export, Cancellation);
        Assert.Equal(given.TensorNames.Order(StringComparer.Ordinal), got.TensorNames.Order(StringComparer.Ordinal));
        foreach (string name in given.TensorNames)
            Assert.Equal(await ModelLogits.BytesAsync(given, name), await ModelLogits.BytesAsync(got, name));
    }

    [Theory]
    [InlineData(1, 1e-30)]
    [InlineData(20, 2e-3)]
    public async Task Transformers_gives_the_logits_that_we_have(int steps, double learningRate)
    {
        SharedData.Require("weights/stories260K.reference.json");
        using ReferenceChroot reference = ReferenceChroot.Require();
        string export = await TrainAndExportAsync("retold", steps, learningRate);
        float[] ours = await ModelLogits.OursAsync(_world.Store, export, _story), untrained = await ModelLogits.OursAsync(_world.Store, Base, _story);
        Assert.Equal(steps > 1, ModelLogits.Difference(ours, untrained) > 0.1);

        double difference = ModelLogits.Difference(ours, await ModelLogits.OfTransformersAsync(reference, _world.PathOf(export), _story));
        TestContext.Current.TestOutputHelper?.WriteLine($"largest difference of {ours.Length} logits after {steps} steps: {difference:e2}");
        Assert.InRange(difference, 0, 1e-4);
    }

    /// <summary>Trains the base model in fp32 and exports it in fp32, by the real services.</summary>
    private async Task<string> TrainAndExportAsync(string name, int steps, double learningRate)
    {
        TrainingSpec spec = TrainerWorld.Spec(name);
        (spec.BaseModel, spec.Dataset, spec.Steps) = (Base, Dataset, steps);
        spec.Optimizer = new OptimizerSpec { LearningRate = learningRate };
        spec.Schedule = new Drover.Protocol.Trainer.V1.ScheduleSpec();
        await _world.TrainAsync(spec);
        var request = new CreateExportRequest { Spec = new ExportSpec { Name = name, Checkpoint = $"runs/{name}/checkpoints/step-{steps:D8}", DataType = ExportDataType.Fp32 } };
        string job = (await _world.Checkpoints.CreateExportAsync(request, cancellationToken: Cancellation)).Export.Job.Name;
        using var watch = _world.Checkpoints.WatchExport(new WatchExportRequest { Name = job }, cancellationToken: Cancellation);
        while (await watch.ResponseStream.MoveNext(Cancellation))
        {
            // Until it ends.
        }

        Export export = (await _world.Checkpoints.GetExportAsync(new GetExportRequest { Name = job }, cancellationToken: Cancellation)).Export;
        Assert.True(export.Job.State == JobState.Succeeded, export.Job.Failure?.Message);
        return export.Result.Name;
    }
}
