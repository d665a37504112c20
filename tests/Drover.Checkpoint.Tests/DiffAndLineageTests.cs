using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Grpc.Core;
using static Drover.Checkpoint.Tests.RunningService;

namespace Drover.Checkpoint.Tests;

/// <summary>What two checkpoints differ in, and where things come from.</summary>
public sealed class DiffAndLineageTests : IAsyncLifetime
{
    private RunningService _service = null!;

    public async ValueTask InitializeAsync() => _service = await StartAsync();

    public ValueTask DisposeAsync() => _service.DisposeAsync();

    [Fact]
    public async Task A_diff_names_fields_of_manifest_and_spec_and_says_how_far_each_tensor_moved()
    {
        string first = await _service.PublishAsync("r", 1, runSpec: """{"optimizer":{"learningRate":1},"seed":3}""");
        string second = await _service.PublishAsync("r", 2, runSpec: """{"optimizer":{"learningRate":2},"seed":3}""");
        DiffCheckpointsResponse diff = await DiffAsync(first, second, values: true);
        FieldDifference rate = Assert.Single(diff.Fields, f => f.Field == "spec.optimizer.learningRate");
        Assert.Equal(("1", "2"), (rate.First, rate.Second));
        Assert.Contains(diff.Fields, f => (f.Field, f.First, f.Second) == ("step", "1", "2"));
        Assert.DoesNotContain(diff.Fields, f => f.Field == "spec.seed");
        LlamaConfig config = TestCheckpoint.Config(tied: false);
        Assert.Equal((0, 3 * LlamaTensors.All(config).Count()), (diff.EqualTensors, diff.Tensors.Count));
        TensorDifference moved = Assert.Single(diff.Tensors, t => (t.Kind, t.Name) == (LogicalTensor.Weight, LlamaTensors.Embedding));
        (float[] a, float[] b) = (Values(1), Values(2));
        Assert.Equal(a.Zip(b, (x, y) => Math.Abs((double)x - y)).Max(), moved.Largest);
        Assert.Equal(Math.Sqrt(a.Zip(b, (x, y) => Math.Pow((double)x - y, 2)).Sum() / a.Sum(x => (double)x * x)), moved.RelativeNorm, 1e-12);
        Assert.Equal(diff.Tensors.OrderByDescending(t => t.RelativeNorm), diff.Tensors);

        DiffCheckpointsResponse same = await DiffAsync(first, first, values: true);
        Assert.Equal((0, 0, 3 * LlamaTensors.All(config).Count()), (same.Fields.Count, same.Tensors.Count, same.EqualTensors));

        float[] Values(long step) => TestCheckpoint.Values(LogicalTensor.Weight, LlamaTensors.Embedding, [config.VocabSize, config.HiddenSize], step);
    }

    [Fact]
    public async Task A_diff_without_values_names_what_one_of_them_lacks()
    {
        string untied = await _service.PublishAsync("r", 1), tied = await _service.PublishAsync("s", 1, tied: true);
        DiffCheckpointsResponse diff = await DiffAsync(untied, tied, values: false);
        Assert.Equal([LlamaTensors.Head], diff.Tensors.Select(t => t.Name).Distinct());
        Assert.All(diff.Tensors, t => Assert.Equal((2, 0), (t.FirstShape.Count, t.SecondShape.Count)));
        Assert.Contains(diff.Fields, f => f.Field == "config.tie_word_embeddings");
        Assert.All((await DiffAsync(tied, untied, values: false)).Tensors, t => Assert.Equal((0, 2), (t.FirstShape.Count, t.SecondShape.Count)));
        Assert.Equal(StatusCode.NotFound, (await StatusOf(() => DiffAsync(untied, "runs/r/checkpoints/step-00000009", values: false))).StatusCode);
        Assert.Equal(StatusCode.InvalidArgument, (await StatusOf(() => DiffAsync(untied, "../x", values: false))).StatusCode);
    }

    [Fact]
    public async Task Lineage_goes_from_a_model_to_all_that_it_comes_from_and_says_what_changed_or_went()
    {
        string checkpoint = await _service.PublishAsync("r", 1, runSpec: """{"tokenizer":"tokenizers/t","baseModel":"models/start"}""");
        await _service.Store.PutTextAsync("tokenizers/t/tokenizer.json", """{"model":{"vocab":{"a":39}}}""", Cancellation);
        await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, Tokenizer = "tokenizers/t" });
        List<LineageEntry> entries = await LineageAsync("models/m");
        Assert.Equal([("model", "models/m"), ("checkpoint", checkpoint), ("model", "models/start"), ("dataset", "datasets/d"), ("tokenizer", "tokenizers/t")], entries.Select(e => (e.Kind, e.Name)));
        Assert.Equal([checkpoint, "tokenizers/t"], entries[0].From);
        Assert.Equal([LineageState.Present, LineageState.Present, LineageState.Missing, LineageState.Missing, LineageState.Unspecified], entries.Select(e => e.State));
        Assert.Contains("step 1", entries[1].Detail, StringComparison.Ordinal);
        Assert.Equal(entries.Skip(1).Select(e => e.Name), (await LineageAsync("runs/r")).Select(e => e.Name));

        // Another content under the name that the model wrote down.
        string manifest = $"{checkpoint}/{CheckpointManifest.FileName}";
        await _service.Store.PutTextAsync(manifest, await _service.Store.ReadTextAsync(manifest, Cancellation) + "\n", Cancellation);
        Assert.Equal(LineageState.Changed, (await LineageAsync("models/m"))[1].State);
        await _service.Client.DeleteRunAsync(new DeleteRunRequest { Run = "r" }, cancellationToken: Cancellation);
        Assert.Equal(LineageState.Missing, (await LineageAsync("models/m"))[1].State);
        foreach ((string name, StatusCode code) in new[] { ("models/none", StatusCode.NotFound), ("", StatusCode.InvalidArgument), ("../x", StatusCode.InvalidArgument) })
            Assert.Equal(code, (await StatusOf(() => LineageAsync(name))).StatusCode);
    }

    private async Task<DiffCheckpointsResponse> DiffAsync(string first, string second, bool values) =>
        await _service.Client.DiffCheckpointsAsync(new DiffCheckpointsRequest { First = first, Second = second, CompareValues = values }, cancellationToken: Cancellation);

    private async Task<List<LineageEntry>> LineageAsync(string name) =>
        [.. (await _service.Client.GetLineageAsync(new GetLineageRequest { Name = name }, cancellationToken: Cancellation)).Entries];
}
