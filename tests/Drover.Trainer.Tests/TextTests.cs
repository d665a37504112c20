using System.Runtime.InteropServices;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Grpc.Core;

namespace Drover.Trainer.Tests;

public sealed class TextTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Text_is_continued_greedily_and_a_missing_model_is_named()
    {
        string tokenizer = SharedData.Require("tokenizers/llama2.tokenizer.model");
        await using TrainerWorld world = await TrainerWorld.StartAsync();
        LlamaConfig config = TrainerWorld.TinyConfig(32_000);
        await WriteModelAsync(world.Store, "models/random", config);
        await world.Store.PutBytesAsync("models/random/tokenizer.model", await File.ReadAllBytesAsync(tokenizer, Cancellation), PutCondition.None, Cancellation);

        var request = new GenerateTextRequest { Model = "models/random", Prompt = "Once upon a time", MaxNewTokens = 5 };
        GenerateTextResponse first = await world.Trainer.GenerateTextAsync(request, cancellationToken: Cancellation);
        GenerateTextResponse second = await world.Trainer.GenerateTextAsync(request, cancellationToken: Cancellation);
        Assert.InRange(first.Ids.Count, 1, 5);
        Assert.Equal(first, second);

        RpcException refused = await Assert.ThrowsAsync<RpcException>(async () =>
            await world.Trainer.GenerateTextAsync(new GenerateTextRequest { Model = "models/nowhere", Prompt = "x" }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.NotFound, refused.StatusCode);
        Assert.Contains("models/nowhere", refused.Status.Detail, StringComparison.Ordinal);
    }

    private static async Task WriteModelAsync(IObjectStore store, string prefix, LlamaConfig config)
    {
        var random = new Random(5);
        List<SafetensorsTensor> tensors = [.. LlamaTensors.All(config).Select(t => new SafetensorsTensor(t.Name, SafetensorsTypes.F32, t.Shape, async (target, cancellation) =>
        {
            long count = t.Shape.Aggregate(1L, (n, d) => n * d);
            float[] values = [.. Enumerable.Range(0, (int)count).Select(_ => t.Shape.Length == 1 ? 1f : (float)(random.NextDouble() - 0.5) * 0.2f)];
            await target.WriteAsync(MemoryMarshal.AsBytes(values.AsSpan()).ToArray(), cancellation);
        }))];
        await store.PutTextAsync($"{prefix}/config.json", config.ToJson(), Cancellation);
        await SafetensorsWriter.PutAsync(store, $"{prefix}/model.safetensors", tensors, null, Cancellation);
    }
}
