using System.Text.Json;
using Drover.Tokenization.Expansion;

namespace Drover.Tokenization.Tests;

/// <summary>Ids of expanded vocabularies against SentencePiece and Hugging Face tokenizers; tests/goldens/expansion_parity.py wrote the file.</summary>
public sealed class ReferenceParityTests
{
    [Theory]
    [InlineData("llama2")]
    [InlineData("llama3")]
    public async Task Ids_of_an_expanded_vocabulary_are_those_of_the_reference_libraries(string family)
    {
        using var golden = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(AppContext.BaseDirectory, "expansion.golden.json"), Folder.Cancellation));
        string[] Strings(string name) => [.. golden.RootElement.GetProperty(name).EnumerateArray().Select(e => e.GetString()!)];
        using var folder = new Folder();
        await folder.PutSharedAsync($"{family}.tokenizer.model", "tokenizers/base");
        Vocabulary old = await TokenizerFolder.ReadAsync(folder.Store, "tokenizers/base", Folder.Cancellation);
        ITextTokenizer tokenizer = TokenizerFolder.Create(VocabularyExpander.Expand(old, Strings("pieces"), Folder.Cancellation).Vocabulary);
        string[] texts = Strings("texts");
        int[][] ids = [.. golden.RootElement.GetProperty(family).EnumerateArray().Select(t => t.EnumerateArray().Select(i => i.GetInt32()).ToArray())];
        Assert.Equal(texts.Length, ids.Length);
        for (int i = 0; i < texts.Length; i++)
            Assert.Equal(ids[i], tokenizer.Encode(texts[i]));
        Assert.Contains(ids, t => t.Any(id => id >= old.Pieces.Count));
    }
}
