using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Drover.Formats.HuggingFace;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Testing;
using Drover.Tokenization;

namespace Drover.Tokenizer.Tests;

/// <summary>A LLaMA that was really trained is given new pieces, and says of old text what it said before.</summary>
public sealed class StoriesResizeTests
{
    private const string Story = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.";

    private static CancellationToken Cancellation => RunningService.Cancellation;

    [Fact]
    public async Task An_expanded_and_resized_model_gives_old_ids_the_logits_that_it_gave_them()
    {
        using ReferenceChroot reference = ReferenceChroot.Require();
        await using RunningService service = await RunningService.StartAsync();
        await StoriesModel.WriteAsync(service.Store, "models/base", Cancellation);
        Vocabulary old = ReadTok512(await File.ReadAllBytesAsync(SharedData.Require("weights/tok512.bin"), Cancellation));
        await TokenizerFiles.WriteAsync(service.Store, "tokenizers/base", old, null, Cancellation);
        await service.Store.PutTextAsync("inputs/pieces.txt", "床前\n明月光\n疑是\n地上霜", Cancellation);
        Expansion expansion = await service.ExpandAsync(new ExpansionSpec { Name = "wide", BaseTokenizer = "tokenizers/base", BaseModel = "models/base", Pieces = "inputs/pieces.txt", PadToMultiple = 64 });
        Assert.True(expansion.Job.State == JobState.Succeeded, expansion.Job.Failure?.Message);

        ITextTokenizer before = TokenizerFolder.Create(old), after = await TokenizerFolder.LoadAsync(service.Store, "tokenizers/wide", Cancellation);
        int[] ids = [1, .. before.Encode(Story)];
        Assert.Equal(ids[1..], after.Encode(Story));
        Assert.Contains(after.Encode("床前明月光"), id => id >= old.Pieces.Count);

        float[][] was = await LogitsAsync(service, reference, "base", ids), now = await LogitsAsync(service, reference, "wide", ids);
        Assert.Equal(old.Pieces.Count, was[0].Length);
        Assert.True(now[0].Length > was[0].Length && now[0].Length % 64 == 0);
        for (int position = 0; position < ids.Length; position++)
        {
            for (int id = 0; id < was[0].Length; id++)
                Assert.Equal(was[position][id], now[position][id], 1e-5f);
        }
    }

    private static async Task<float[][]> LogitsAsync(RunningService service, ReferenceChroot reference, string name, int[] ids)
    {
        reference.CopyFolder(service.PathOf($"models/{name}"), name);
        await File.WriteAllTextAsync(reference.Outside("ids.json"), JsonSerializer.Serialize(ids), Cancellation);
        await reference.RunAsync(Path.Combine(Checkout.Root, "tests", "goldens", "logits.py"), [reference.Inside(name), reference.Inside("ids.json"), reference.Inside("logits.json")], Cancellation);
        return JsonSerializer.Deserialize<float[][]>(await File.ReadAllBytesAsync(reference.Outside("logits.json"), Cancellation))!;
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
