using System.Text.Json;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Testing;
using Drover.Trainer.Model;

namespace Drover.Trainer.Engine.Tests;

/// <summary>A LLaMA that was really trained, against values computed apart from us in 64-bit floats.</summary>
public sealed class StoriesParityTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task Logits_equal_the_reference_within_1e_4()
    {
        using JsonDocument reference = Reference();
        using LanguageModel model = await LoadAsync();
        int[] ids = [.. reference.RootElement.GetProperty("greedy_ids").EnumerateArray().Take(4).Select(i => i.GetInt32())];
        float[] logits = model.Logits(ids);
        double[] expected = [.. reference.RootElement.GetProperty("logits_pos0_to_3").EnumerateArray().SelectMany(r => r.EnumerateArray()).Select(v => v.GetDouble())];
        Assert.Equal(expected.Length, logits.Length);
        Assert.True(logits.Zip(expected, (a, b) => Math.Abs(a - b)).Max() < 1e-4);
    }

    [Fact]
    public async Task Two_hundred_greedy_ids_equal_the_published_story()
    {
        using JsonDocument reference = Reference();
        using LanguageModel model = await LoadAsync();
        int[] expected = [.. reference.RootElement.GetProperty("greedy_ids").EnumerateArray().Select(i => i.GetInt32())];
        Assert.Equal(expected[1..], new TextGenerator(model, new GenerationSpec(expected.Length - 1, new HashSet<int>(), new SamplingSpec())).Continue(expected[..1], TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData("as it is")]
    [InlineData("dynamic")]
    public async Task Greedy_ids_of_several_prompts_equal_those_of_transformers(string rope)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using ReferenceChroot reference = ReferenceChroot.Require();
        using LanguageModel model = await LoadAsync(rope == "dynamic" ? c => c with { MaxPositionEmbeddings = 24, RopeScaling = JsonElement.Parse("{\"type\": \"dynamic\", \"factor\": 2.0}") } : null);
        int[][] prompts = [[1], [1, 403, 407, 261], [1, 450, 300, 299, 298, 297, 303, 401]];
        (int Count, double Penalty)[] ways = [(120, 1), (60, 1.3)];
        reference.CopyFolder(Path.Combine(_folder.Path, "models/stories"), "model");
        await File.WriteAllTextAsync(reference.Outside("prompts.json"), JsonSerializer.Serialize(ways.SelectMany(w => prompts.Select(p => new { ids = p, count = w.Count, penalty = w.Penalty }))), cancellation);
        await reference.RunAsync(Path.Combine(Checkout.Root, "tests/goldens/generate.py"), [reference.Inside("model"), reference.Inside("prompts.json"), reference.Inside("texts.json")], cancellation);
        int[][] expected = JsonSerializer.Deserialize<int[][]>(await File.ReadAllTextAsync(reference.Outside("texts.json"), cancellation))!;
        var actual = new List<int[]>();
        foreach ((int count, double penalty) in ways)
        {
            List<int>[] texts = [.. prompts.Select(_ => new List<int>())];
            new TextGenerator(model, new GenerationSpec(count, new HashSet<int>(), new SamplingSpec { RepetitionPenalty = penalty })).Run(
                prompts,
                (text, id) =>
                {
                    texts[text].Add(id);
                    return true;
                },
                cancellation);
            actual.AddRange(texts.Select(t => t.ToArray()));
        }

        Assert.Equal(expected, actual);
    }

    public void Dispose() => _folder.Dispose();

    private static JsonDocument Reference() => JsonDocument.Parse(File.ReadAllText(SharedData.Require("weights/stories260K.reference.json")));

    private async Task<LanguageModel> LoadAsync(Func<LlamaConfig, LlamaConfig>? change = null)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        var store = new FolderObjectStore(_folder.Path);
        await StoriesModel.WriteAsync(store, "models/stories", cancellation);
        if (change is not null)
            await store.PutTextAsync("models/stories/config.json", change((await HuggingFaceModel.OpenAsync(store, "models/stories", cancellation)).Config).ToJson(), cancellation);
        HuggingFaceModel files = await HuggingFaceModel.OpenAsync(store, "models/stories", cancellation);
        var weights = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (string name in files.TensorNames)
        {
            weights[name] = new byte[files.Get(name).Length];
            await files.FileOf(name).ReadAsync(name, 0, weights[name], cancellation);
        }

        var model = new LanguageModel(files.Config, Precision.Fp32, threads: 1);
        model.LoadWeights((tensor, values) => System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(weights[tensor.Name]).CopyTo(values));
        return model;
    }
}
