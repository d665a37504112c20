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
        Assert.Equal(expected[1..], model.GenerateGreedy(expected[..1], expected.Length - 1, [], TestContext.Current.CancellationToken));
    }

    public void Dispose() => _folder.Dispose();

    private static JsonDocument Reference() => JsonDocument.Parse(File.ReadAllText(SharedData.Require("weights/stories260K.reference.json")));

    private async Task<LanguageModel> LoadAsync()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        var store = new FolderObjectStore(_folder.Path);
        await StoriesModel.WriteAsync(store, "models/stories", cancellation);
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
