using System.Runtime.InteropServices;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Drover.Tokenization;
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
        first.Statistics.Seconds = second.Statistics.Seconds;
        Assert.Equal(first, second);

        RpcException refused = await Assert.ThrowsAsync<RpcException>(async () =>
            await world.Trainer.GenerateTextAsync(new GenerateTextRequest { Model = "models/nowhere", Prompt = "x" }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.NotFound, refused.StatusCode);
        Assert.Contains("models/nowhere", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_run_is_sampled_with_its_own_tokenizer_streamed_or_not()
    {
        byte[] tokenizer = await File.ReadAllBytesAsync(SharedData.Require("tokenizers/llama2.tokenizer.model"), Cancellation);
        await using TrainerWorld world = await TrainerWorld.StartAsync();
        // The name that the manifest of the dataset has.
        await world.Store.PutBytesAsync("tokenizers/tiny/tokenizer.model", tokenizer, PutCondition.None, Cancellation);
        string hash = (await TokenizerFolder.LoadAsync(world.Store, "tokenizers/tiny", Cancellation)).ContentHash;
        await world.WriteDatasetAsync("datasets/words", 32_000, hash);
        await world.Store.PutTextAsync(TrainerWorld.Config, TrainerWorld.TinyConfig(32_000).ToJson(), Cancellation);
        TrainingSpec spec = TrainerWorld.Spec("sampled");
        (spec.Dataset, spec.Steps, spec.Tokenizer) = ("datasets/words", 2, "tokenizers/tiny");
        spec.Samples = new SampleSpec { Prompts = { "Once upon a time", "The" }, IntervalSteps = 1, MaxNewTokens = 4 };
        await world.TrainAsync(spec);
        await AssertSamplesAsync(world, spec.Samples);

        var request = new GenerateTextRequest
        {
            Model = "runs/sampled",
            Prompts = { "Once upon a time", "The" },
            MaxNewTokens = 24,
            Sampling = new SamplingSpec { TopP = 0.9, Seed = 5 },
        };
        GenerateTextResponse whole = await world.Trainer.GenerateTextAsync(request, cancellationToken: Cancellation);
        Assert.Equal(2, whole.Continuations.Count);
        Assert.Equal(5, whole.Statistics.Seed);
        Assert.Equal(whole.Continuations.Sum(c => c.Ids.Count), whole.Statistics.NewTokens);
        Assert.Equal(whole.Continuations[0].Text, whole.Text);

        List<StreamTextResponse> told = await StreamAsync(world, request);
        for (int i = 0; i < 2; i++)
        {
            TextPiece[] pieces = [.. told.Where(t => t.Piece is { } piece && piece.Prompt == i).Select(t => t.Piece)];
            Assert.Equal(whole.Continuations[i].Text, string.Concat(pieces.Select(p => p.Text)));
            Assert.Equal(whole.Continuations[i].Ids, pieces.SelectMany(p => p.Ids));
            Assert.Equal(whole.Continuations[i].EndReason, pieces[^1].EndReason);
        }

        Assert.Equal(5, told[^1].Statistics.Seed);
        string stop = whole.Text.Substring(10, 3);
        request.StopStrings.Add(stop);
        request.Model = "runs/sampled/latest";
        GenerateTextResponse stopped = await world.Trainer.GenerateTextAsync(request, cancellationToken: Cancellation);
        Assert.Equal(whole.Text[..whole.Text.IndexOf(stop, StringComparison.Ordinal)], stopped.Text);
        Assert.Equal(EndReason.Stop, stopped.Continuations[0].EndReason);
    }

    [Fact]
    public async Task Wrong_fields_of_a_request_are_told_at_once_and_a_run_without_checkpoints_is_named()
    {
        await using TrainerWorld world = await TrainerWorld.StartAsync();
        var request = new GenerateTextRequest { MaxNewTokens = -1, Sampling = new SamplingSpec { Temperature = 0, TopK = 3, TopP = 2, RepetitionPenalty = -1 } };
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => StreamAsync(world, request));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        Assert.All(["model is empty", "max_new_tokens", "top_p", "repetition_penalty", "temperature is 0"], field => Assert.Contains(field, refused.Status.Detail, StringComparison.Ordinal));

        refused = await Assert.ThrowsAsync<RpcException>(() => StreamAsync(world, new GenerateTextRequest { Model = "runs/nowhere" }));
        Assert.Equal(StatusCode.NotFound, refused.StatusCode);
        Assert.Contains("nowhere", refused.Status.Detail, StringComparison.Ordinal);
    }

    private static async Task<List<StreamTextResponse>> StreamAsync(TrainerWorld world, GenerateTextRequest request)
    {
        using AsyncServerStreamingCall<StreamTextResponse> call = world.Trainer.StreamText(new StreamTextRequest { Generate = request }, cancellationToken: Cancellation);
        return await call.ResponseStream.ReadAllAsync(Cancellation).ToListAsync(Cancellation);
    }

    // What TensorBoard shows after the last step is what the run's checkpoint says.
    private static async Task AssertSamplesAsync(TrainerWorld world, SampleSpec samples)
    {
        var texts = new List<(long Step, string Tag, string Text)>();
        await foreach (ObjectInfo file in world.Store.ListAsync("runs/sampled/tensorboard/", Cancellation))
            texts.AddRange(TensorBoardReader.ReadTexts(await world.Store.ReadAllBytesAsync(file.Key, Cancellation)));
        Assert.Equal([(1, "samples/0"), (1, "samples/1"), (2, "samples/0"), (2, "samples/1")], texts.Select(t => (t.Step, t.Tag)));
        var request = new GenerateTextRequest { Model = "runs/sampled", Prompts = { samples.Prompts }, MaxNewTokens = 4 };
        GenerateTextResponse said = await world.Trainer.GenerateTextAsync(request, cancellationToken: Cancellation);
        for (int i = 0; i < 2; i++)
            Assert.Equal($"**{samples.Prompts[i]}**\n\n    {samples.Prompts[i]}{said.Continuations[i].Text}\n".ReplaceLineEndings(" "), texts[2 + i].Text.ReplaceLineEndings(" "));
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
