using System.Runtime.InteropServices;
using System.Text.Json;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Testing;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Tests;

/// <summary>Logits [positions, ids] of a Hugging Face folder in fp32: by our model, and by transformers.</summary>
internal static class ModelLogits
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static async Task<float[]> OursAsync(IObjectStore store, string prefix, int[] ids)
    {
        HuggingFaceModel files = await HuggingFaceModel.OpenAsync(store, prefix, Cancellation);
        var weights = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (string name in files.TensorNames)
            weights[name] = await BytesAsync(files, name);
        using var model = new LanguageModel(files.Config, Model.Precision.Fp32, threads: 1);
        model.LoadWeights((tensor, values) => MemoryMarshal.Cast<byte, float>(weights[tensor.Name]).CopyTo(values));
        return model.Logits(ids);
    }

    /// <param name="reference">Where transformers is.</param>
    /// <param name="folder">The model's folder on this side.</param>
    /// <param name="ids">Without a batch.</param>
    public static async Task<float[]> OfTransformersAsync(ReferenceChroot reference, string folder, int[] ids)
    {
        string name = Path.GetFileName(folder);
        reference.CopyFolder(folder, name);
        await File.WriteAllTextAsync(reference.Outside("ids.json"), JsonSerializer.Serialize(ids), Cancellation);
        await reference.RunAsync(Path.Combine(Checkout.Root, "tests", "goldens", "logits.py"), [reference.Inside(name), reference.Inside("ids.json"), reference.Inside("logits.json")], Cancellation);
        float[][] rows = JsonSerializer.Deserialize<float[][]>(await File.ReadAllBytesAsync(reference.Outside("logits.json"), Cancellation))!;
        return [.. rows.SelectMany(row => row)];
    }

    public static async Task<byte[]> BytesAsync(HuggingFaceModel files, string name)
    {
        byte[] bytes = new byte[files.Get(name).Length];
        await files.FileOf(name).ReadAsync(name, 0, bytes, Cancellation);
        return bytes;
    }

    public static double Difference(float[] left, float[] right)
    {
        Assert.Equal(left.Length, right.Length);
        return left.Zip(right, (a, b) => Math.Abs((double)a - b)).Max();
    }
}
