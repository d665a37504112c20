using System.Buffers.Binary;
using System.Text;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Testing;
using Drover.Tokenization;
using Drover.Tokenizer;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;

namespace Drover.Trainer.Tests;

/// <summary>A LLaMA that was really trained, with its own tokenizer, is given new pieces, and says of old text what it said before.</summary>
public sealed class StoriesExpansionTests : IAsyncLifetime
{
    private const string Story = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball.";
    private readonly TemporaryFolder _folder = new();
    private FolderObjectStore _store = null!;
    private Vocabulary _old = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _store = new FolderObjectStore(_folder["objects"]);
        await StoriesModel.WriteAsync(_store, "models/base", Cancellation);
        _old = ReadTok512(await File.ReadAllBytesAsync(SharedData.Require("weights/tok512.bin"), Cancellation));
        await TokenizerFiles.WriteAsync(_store, "tokenizers/base", _old, null, Cancellation);
        await _store.PutTextAsync("inputs/pieces.txt", "床前\n明月光\n疑是\n地上霜\n", Cancellation);
        await ExpandAsync(new ExpansionSpec { Name = "wide", BaseTokenizer = "tokenizers/base", BaseModel = "models/base", Pieces = "inputs/pieces.txt", PadToMultiple = 64 });
    }

    public ValueTask DisposeAsync()
    {
        _folder.Dispose();
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Old_text_keeps_its_ids_and_its_logits_for_old_ids()
    {
        int[] ids = await IdsOfTheStoryAsync();
        float[] before = await ModelLogits.OursAsync(_store, "models/base", ids), after = await ModelLogits.OursAsync(_store, "models/wide", ids);
        AssertEqualForOldIds(before, after, ids.Length);
        // The comparison would see a row that moved.
        Assert.True(before.Chunk(_old.Pieces.Count).All(row => Math.Abs(row[300] - row[301]) > 1e-4));
    }

    [Fact]
    public async Task Transformers_gives_old_text_the_same_logits_for_old_ids()
    {
        using ReferenceChroot reference = ReferenceChroot.Require();
        int[] ids = await IdsOfTheStoryAsync();
        float[] before = await ModelLogits.OfTransformersAsync(reference, _folder["objects/models/base"], ids);
        AssertEqualForOldIds(before, await ModelLogits.OfTransformersAsync(reference, _folder["objects/models/wide"], ids), ids.Length);
    }

    private async Task<int[]> IdsOfTheStoryAsync()
    {
        ITextTokenizer before = TokenizerFolder.Create(_old), after = await TokenizerFolder.LoadAsync(_store, "models/wide", Cancellation);
        int[] ids = before.Encode(Story);
        Assert.True(ids.Length < Story.Length / 2);
        Assert.Equal(ids, after.Encode(Story));
        Assert.Contains(after.Encode("床前明月光"), id => id >= _old.Pieces.Count);
        return [_old.BosId, .. ids];
    }

    private void AssertEqualForOldIds(float[] before, float[] after, int positions)
    {
        int rows = _old.Pieces.Count;
        Assert.Equal((0, 0), (before.Length % rows, after.Length / positions % 64));
        Assert.True(after.Length > before.Length);
        float[] old = [.. after.Chunk(after.Length / positions).SelectMany(row => row[..rows])];
        double difference = ModelLogits.Difference(before, old);
        TestContext.Current.TestOutputHelper?.WriteLine($"largest difference of {before.Length} logits: {difference:e2}");
        // Not zero: a product with more columns may sum in another order.
        Assert.InRange(difference, 0, 1e-5);
    }

    private async Task ExpandAsync(ExpansionSpec spec)
    {
        string address = $"http://127.0.0.1:{LoopbackPort.Free()}";
        await using WebApplication service = TokenizerModule.Build([$"--Services:tokenizer={address}", $"--Drover:DataFolder={_folder.Path}"]);
        await service.StartAsync(Cancellation);
        using var channel = GrpcChannel.ForAddress(address);
        var client = new TokenizerService.TokenizerServiceClient(channel);
        string job = (await client.CreateExpansionAsync(new CreateExpansionRequest { Spec = spec }, cancellationToken: Cancellation)).Expansion.Job.Name;
        using var watch = client.WatchTokenizerJob(new WatchTokenizerJobRequest { Name = job }, cancellationToken: Cancellation);
        while (await watch.ResponseStream.MoveNext(Cancellation))
        {
            // Until it ends.
        }

        Expansion expansion = (await client.GetExpansionAsync(new GetExpansionRequest { Name = job }, cancellationToken: Cancellation)).Expansion;
        Assert.True(expansion.Job.State == JobState.Succeeded, expansion.Job.Failure?.Message);
    }

    // llama2.c's file: the longest piece (int32), then of each piece its score (float), bytes (int32) and text, with spaces for U+2581.
    private static Vocabulary ReadTok512(ReadOnlySpan<byte> file)
    {
        var pieces = new List<SentencePiece>();
        for (int at = sizeof(int); at < file.Length;)
        {
            float score = BinaryPrimitives.ReadSingleLittleEndian(file[at..]);
            int length = BinaryPrimitives.ReadInt32LittleEndian(file[(at + 4)..]);
            string text = Encoding.UTF8.GetString(file.Slice(at + 8, length)).Replace(' ', '▁');
            pieces.Add(pieces.Count switch
            {
                0 => new SentencePiece("<unk>", 0, SentencePieceKind.Unknown),
                1 => new SentencePiece("<s>", 0, SentencePieceKind.Control),
                2 => new SentencePiece("</s>", 0, SentencePieceKind.Control),
                < 259 => new SentencePiece($"<0x{pieces.Count - 3:X2}>", 0, SentencePieceKind.Byte),
                _ => new SentencePiece(text, score, SentencePieceKind.Normal),
            });
            at += 8 + length;
        }

        return new Vocabulary { Family = TokenizerFamily.SentencePieceBpe, Pieces = pieces, Merges = Vocabulary.MergesOf(pieces), Prefix = DummyPrefix.Always, UnkId = 0, BosId = 1, EosId = 2 };
    }
}
