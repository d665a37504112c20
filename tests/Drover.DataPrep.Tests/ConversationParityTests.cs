using System.IO.Hashing;
using System.Runtime.InteropServices;
using System.Text.Json;
using Drover.DataPrep.Conversations;
using Drover.DataPrep.Documents;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;
using Drover.Testing;
using Drover.Tokenization;

namespace Drover.DataPrep.Tests;

/// <summary>Ids of real conversations against transformers' apply_chat_template; tests/goldens/sft.py wrote the file.</summary>
public sealed class ConversationParityTests
{
    private static readonly Lazy<Dictionary<string, uint[]>> Golden = new(() =>
        JsonSerializer.Deserialize<Dictionary<string, uint[]>>(File.ReadAllText(Path.Combine(Checkout.Root, "tests", "goldens", "sft.golden.json")))!);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("alpaca_zh_demo.json")]
    [InlineData("glaive_toolcall_en_demo.json")]
    [InlineData("identity.json")]
    public async Task Ids_are_those_of_apply_chat_template(string file)
    {
        using var records = JsonDocument.Parse(await File.ReadAllBytesAsync(SharedData.Require("sft/" + file), Cancellation));
        foreach ((string golden, string model, string template) in new[] { ("llama2", "llama2", "llama2"), ("llama3", "llama3", "llama3"), ("chatml", "llama2", "chatml"), ("chatml-llama3", "llama3", "chatml") })
        {
            var reader = new ConversationReader(await TokenizerAsync(model), Spec(template));
            uint[] expected = Golden.Value[$"{file}/{golden}"];
            Assert.Equal(expected.Length, records.RootElement.GetArrayLength());
            int index = 0;
            foreach (JsonElement record in records.RootElement.EnumerateArray())
            {
                int[] ids = reader.Tokenize(reader.Extract(record)).Document!.Ids.ToArray();
                Assert.True(expected[index] == Crc32.HashToUInt32(MemoryMarshal.AsBytes<int>(ids)), $"{golden}, conversation {index}: other ids");
                index++;
            }
        }
    }

    [Theory]
    [InlineData("llama2", "llama2")]
    [InlineData("llama3", "llama3")]
    [InlineData("llama3", "chatml")]
    [InlineData("llama2", "colossal-llama2")]
    [InlineData("llama3", "colossal-llama3")]
    public async Task Labels_decode_to_what_the_assistant_says(string model, string template)
    {
        ITextTokenizer tokenizer = await TokenizerAsync(model);
        var reader = new ConversationReader(tokenizer, Spec(template));
        using var records = JsonDocument.Parse(await File.ReadAllBytesAsync(SharedData.Require("sft/glaive_toolcall_en_demo.json"), Cancellation));
        foreach (JsonElement record in records.RootElement.EnumerateArray())
        {
            var conversation = (Conversation)reader.Extract(record);
            TokenizedDocument document = reader.Tokenize(conversation).Document!;
            // Templates that keep every message have a range for each answer; the others join neighbours.
            string[] said = template is "llama3" or "chatml"
                ? [.. conversation.Turns.Where(t => t.Role == TurnRole.Assistant).Select(t => t.Text.Trim())]
                : [.. conversation.Exchanges().Where(e => e.Assistant is not null).Select(e => e.Assistant!)];
            string[] decoded = [.. document.Labels.Select(r => tokenizer.Decode(document.Ids.ToArray()[r.Start..r.End], skipSpecialTokens: true).Replace("<|im_end|>", "", StringComparison.Ordinal).Trim())];
            Assert.Equal(said, decoded);
        }
    }

    private static DatasetSpec Spec(string template) =>
        new() { Format = DatasetFormat.Sft, ConversationTemplate = template, MaxLength = 1 << 20, LossOn = LossOn.Assistant, Truncation = Truncation.CutEnd };

    private static async Task<ITextTokenizer> TokenizerAsync(string model)
    {
        using var folder = new TemporaryFolder();
        var store = new FolderObjectStore(folder.Path);
        await store.PutBytesAsync("t/tokenizer.model", await File.ReadAllBytesAsync(SharedData.Require($"tokenizers/{model}.tokenizer.model"), Cancellation), PutCondition.None, Cancellation);
        return await TokenizerFolder.LoadAsync(store, "t", Cancellation);
    }
}
