using System.Text.Json;
using Drover.Testing;
using Drover.Tokenization.Expansion;
using Drover.Tokenization.Reports;
using Drover.Tokenization.Training;

namespace Drover.Tokenization.Tests;

public sealed class LearningTests
{
    [Theory]
    [InlineData("llama2.tokenizer.model")]
    [InlineData("llama3.tokenizer.model")]
    public async Task Learnt_pieces_are_the_same_on_any_order_of_texts_and_all_become_one_id(string file)
    {
        using var folder = new Folder();
        await folder.PutSharedAsync(file, "tokenizers/base");
        Vocabulary vocabulary = await TokenizerFolder.ReadAsync(folder.Store, "tokenizers/base", Folder.Cancellation);
        string[] texts = [.. ChineseTexts().Take(600)];
        var options = new PieceLearningOptions { Count = 300, Scripts = new HashSet<Script> { Script.Han } };
        IReadOnlyList<string> pieces = Learn(vocabulary, texts, options);
        Assert.Equal(300, pieces.Count);
        Assert.Equal(pieces, Learn(vocabulary, [.. texts.Reverse()], options));
        Assert.All(pieces, p => Assert.True(Scripts.AllOf(p, options.Scripts), p));
        ExpandedVocabulary expanded = VocabularyExpander.Expand(vocabulary, pieces, Folder.Cancellation);
        Assert.Equal(300, expanded.Added);
        BpeTokenizer after = TokenizerFolder.CreateBpe(expanded.Vocabulary);
        for (int id = vocabulary.Pieces.Count; id < expanded.Vocabulary.Pieces.Count; id++)
            Assert.Equal([id], after.EncodePiece(expanded.Vocabulary.Pieces[id].Text));
        const string english = "Old text keeps its ids: 1234, it's (still) fine.";
        Assert.Equal(TokenizerFolder.Create(vocabulary).Encode(english), after.Encode(english));
    }

    [Fact]
    public async Task Learnt_pieces_save_more_held_out_tokens_than_a_published_vocabularys()
    {
        using var folder = new Folder();
        await folder.PutSharedAsync("llama2.tokenizer.model", "tokenizers/base");
        Vocabulary vocabulary = await TokenizerFolder.ReadAsync(folder.Store, "tokenizers/base", Folder.Cancellation);
        string[] texts = [.. ChineseTexts()];
        string[] heldOut = [.. texts.Where((_, i) => i % 20 == 0)];
        IReadOnlyList<string> learnt = Learn(vocabulary, [.. texts.Where((_, i) => i % 20 != 0)], new PieceLearningOptions { Count = 4000 });
        string donor = SharedData.Require("tokenizers/chinese_sp.model");
        IEnumerable<string> published = DonorVocabulary.Parse(await File.ReadAllBytesAsync(donor, Folder.Cancellation), donor).Take(4000);
        Assert.True(Tokens(learnt) < 0.9 * Tokens(published));

        long Tokens(IEnumerable<string> pieces)
        {
            ITextTokenizer tokenizer = TokenizerFolder.Create(VocabularyExpander.Expand(vocabulary, pieces, Folder.Cancellation).Vocabulary);
            return heldOut.Sum(t => (long)tokenizer.Encode(t).Length);
        }
    }

    [Fact]
    public async Task A_donors_Chinese_pieces_shorten_Chinese_as_published_and_leave_English_as_it_was()
    {
        using var folder = new Folder();
        await folder.PutSharedAsync("llama2.tokenizer.model", "tokenizers/base");
        Vocabulary vocabulary = await TokenizerFolder.ReadAsync(folder.Store, "tokenizers/base", Folder.Cancellation);
        string donor = SharedData.Require("tokenizers/chinese_sp.model");
        ExpandedVocabulary expanded = VocabularyExpander.Expand(vocabulary, DonorVocabulary.Parse(await File.ReadAllBytesAsync(donor, Folder.Cancellation), donor), Folder.Cancellation, new HashSet<Script> { Script.Han });
        Assert.True(expanded.Filtered > 100);
        ITextTokenizer before = TokenizerFolder.Create(vocabulary);
        ITextTokenizer after = TokenizerFolder.Create(expanded.Vocabulary);
        var report = new FertilityReport(before, after, 0);
        foreach (string text in ChineseTexts())
            report.Add("classics", text);
        FertilityRow all = report.Rows[^1];
        TestContext.Current.TestOutputHelper?.WriteLine($"tokens after of before: {all.TokenRatio:0.00000}");
        // As published; 0.559 with the pieces of all scripts, some of which change English ids.
        Assert.InRange(all.TokenRatio, 0.5, 0.56);
        Assert.Equal((double)all.TokensAfter / all.Characters, all.CompressionAfter);
        using JsonDocument json = JsonDocument.Parse(report.ToJson());
        Assert.True(json.RootElement.GetProperty("uses").EnumerateObject().Count() > 5000);
        Assert.StartsWith("<svg", FertilityPlot.Svg(report.Rows), StringComparison.Ordinal);
        foreach (string text in Lines("text_en/c4_demo.jsonl"))
            Assert.Equal(before.Encode(text), after.Encode(text));
    }

    private static IReadOnlyList<string> Learn(Vocabulary vocabulary, string[] texts, PieceLearningOptions options) =>
        PieceLearner.Learn(vocabulary, TrainingWords.Of(texts, Folder.Cancellation), options, null, Folder.Cancellation);

    private static IEnumerable<string> ChineseTexts() => Lines("text_zh/chinese_classics.jsonl");

    private static IEnumerable<string> Lines(string file)
    {
        foreach (string line in File.ReadLines(SharedData.Require(file)))
        {
            using var document = JsonDocument.Parse(line);
            yield return document.RootElement.GetProperty("text").GetString()!;
        }
    }
}
