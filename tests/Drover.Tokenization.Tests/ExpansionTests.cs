using System.Text;
using Drover.Errors;
using Drover.Formats.SentencePiece;
using Drover.Testing;
using Drover.Tokenization.Expansion;

namespace Drover.Tokenization.Tests;

public sealed class ExpansionTests
{
    private static readonly string[] Pieces = ["春风", "人工智能", "神经网络", " Drover", "tokenization", "龘", "春风", "the", "two words", "<s>", " ", "中国人民"];

    [Theory]
    [InlineData("llama2.tokenizer.model")]
    [InlineData("llama3.tokenizer.model")]
    public async Task Every_accepted_piece_becomes_one_id_and_every_old_piece_keeps_its_own(string file)
    {
        using var folder = new Folder();
        await folder.PutSharedAsync(file, "tokenizers/base");
        Vocabulary old = await TokenizerFolder.ReadAsync(folder.Store, "tokenizers/base", Folder.Cancellation);
        ExpandedVocabulary expanded = VocabularyExpander.Expand(old, Pieces, Folder.Cancellation);

        Assert.Equal(old.Pieces, expanded.Vocabulary.Pieces.Take(old.Pieces.Count));
        ITextTokenizer before = TokenizerFolder.Create(old);
        BpeTokenizer after = TokenizerFolder.CreateBpe(expanded.Vocabulary);
        Assert.Equal(expanded.Vocabulary.Pieces.Count - old.Pieces.Count, expanded.Added + expanded.Intermediate);
        Assert.Equal(expanded.Added + expanded.Intermediate, expanded.SubPieces.Count);
        Assert.Equal(3, expanded.Rejected.Count);
        foreach (string piece in (string[])["春风", "人工智能", "神经网络", "tokenization", "龘", "中国人民"])
        {
            string written = before.Family == TokenizerFamily.ByteLevelBpe ? ByteLevelAlphabet.Write(Encoding.UTF8.GetBytes(piece)) : piece;
            Assert.Single(after.EncodePiece(written));
        }

        const string oldText = "Hello world! Plain English text, 123 and été \n\t end.";
        Assert.Equal(before.Encode(oldText), after.Encode(oldText));
        const string newText = "春风 and 人工智能, say Drover in tokenization 龘";
        Assert.True(after.Encode(newText).Length < before.Encode(newText).Length);
        Assert.Equal(newText, after.Decode(after.Encode(newText), skipSpecialTokens: true));
    }

    [Fact]
    public async Task Scores_of_new_pieces_fall_strictly_with_their_ids()
    {
        using var folder = new Folder();
        await folder.PutSharedAsync("llama2.tokenizer.model", "tokenizers/base");
        Vocabulary old = await TokenizerFolder.ReadAsync(folder.Store, "tokenizers/base", Folder.Cancellation);
        IReadOnlyList<SentencePiece> pieces = VocabularyExpander.Expand(old, Pieces, Folder.Cancellation).Vocabulary.Pieces;
        for (int id = old.Pieces.Count; id < pieces.Count; id++)
            Assert.True(pieces[id].Score < pieces[id - 1].Score);
    }

    [Theory]
    [InlineData("llama2.tokenizer.model")]
    [InlineData("llama3.tokenizer.model")]
    public async Task Both_written_files_are_one_tokenizer_with_one_hash(string file)
    {
        using var folder = new Folder();
        await folder.PutSharedAsync(file, "tokenizers/base");
        Vocabulary old = await TokenizerFolder.ReadAsync(folder.Store, "tokenizers/base", Folder.Cancellation);
        ExpandedVocabulary expanded = VocabularyExpander.Expand(old, Pieces, Folder.Cancellation);
        await TokenizerFiles.WriteAsync(folder.Store, "tokenizers/new", expanded.Vocabulary, null, Folder.Cancellation);
        ITextTokenizer memory = TokenizerFolder.Create(expanded.Vocabulary);
        ITextTokenizer both = await TokenizerFolder.LoadAsync(folder.Store, "tokenizers/new", Folder.Cancellation);
        Assert.Equal(memory.ContentHash, both.ContentHash);
        Assert.Equal((memory.BosId, memory.EosId, memory.PadId, memory.UnkId), (both.BosId, both.EosId, both.PadId, both.UnkId));

        if (memory.Family == TokenizerFamily.SentencePieceBpe)
        {
            await folder.Store.DeleteAsync("tokenizers/new/tokenizer.json", Folder.Cancellation);
            ITextTokenizer model = await TokenizerFolder.LoadAsync(folder.Store, "tokenizers/new", Folder.Cancellation);
            Assert.Equal(memory.ContentHash, model.ContentHash);
            await TokenizerFiles.WriteAsync(folder.Store, "tokenizers/new", expanded.Vocabulary, null, Folder.Cancellation);
            await folder.Store.DeleteAsync("tokenizers/new/tokenizer.model", Folder.Cancellation);
        }

        ITextTokenizer json = await TokenizerFolder.LoadAsync(folder.Store, "tokenizers/new", Folder.Cancellation);
        Assert.Equal(memory.ContentHash, json.ContentHash);
        foreach (string text in Texts())
            Assert.Equal(memory.Encode(text), json.Encode(text));
    }

    [Fact]
    public async Task A_donor_vocabulary_of_twenty_thousand_pieces_can_be_appended()
    {
        using var folder = new Folder();
        await folder.PutSharedAsync("llama2.tokenizer.model", "tokenizers/base");
        Vocabulary old = await TokenizerFolder.ReadAsync(folder.Store, "tokenizers/base", Folder.Cancellation);
        byte[] donor = await File.ReadAllBytesAsync(SharedData.Require("tokenizers/chinese_sp.model"), Folder.Cancellation);
        // The donor itself cannot encode here (its normalizer is not identity); its pieces are just a list.
        string[] pieces = [.. ProtoPieces(donor)];
        ExpandedVocabulary expanded = VocabularyExpander.Expand(old, pieces, Folder.Cancellation);
        BpeTokenizer after = TokenizerFolder.CreateBpe(expanded.Vocabulary);
        Assert.True(expanded.Added > 15_000);
        for (int id = old.Pieces.Count; id < expanded.Vocabulary.Pieces.Count; id++)
            Assert.Equal([id], after.EncodePiece(expanded.Vocabulary.Pieces[id].Text));
    }

    [Theory]
    [InlineData("good\n{\"piece\": 5}\n", "Line 2")]
    [InlineData("{\"piece\": \"a\"}\n\n{\"pice\": \"b\"}\n", "Line 3")]
    [InlineData("{\"piece\": \"a\"\n", "Line 1")]
    [InlineData("\n\n", "no piece")]
    public void A_malformed_piece_list_is_refused_with_its_line(string text, string expected)
    {
        DroverException failure = Assert.Throws<DroverException>(() => PieceList.Parse(text, "inputs/p.jsonl"));
        Assert.Equal(FailureCode.InvalidArgument, failure.Code);
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
        Assert.Contains("inputs/p.jsonl", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_piece_list_keeps_leading_spaces_and_reads_both_kinds_of_line() =>
        Assert.Equal([" lead", "plain", "json 词", "{brace"], PieceList.Parse(" lead\nplain\r\n\n{\"piece\": \"json 词\"}\n{brace\n", "p"));

    internal static IEnumerable<string> Texts()
    {
        yield return "";
        yield return " ";
        yield return "  leading and  double spaces ";
        yield return "春风又绿江南岸 Drover drover 人工智能人工 神经网络络 中国人民中国";
        yield return "emoji 🎉🎉 日本語 한국어 кириллица \u0000 \u00a0 \t\r\n end";
        yield return "中文mixed中文123 456789 l'été can't 'LL";
        yield return "𠀀𠀁 𝐀bc ﷽ ▁ literal <0x0A>";
    }

    private static IEnumerable<string> ProtoPieces(byte[] model) =>
        ProtoField.Parse(model).Where(f => f.Number == 1).Select(f => ProtoField.Parse(f.Bytes)).Where(p => p.All(f => f.Number != 3)).Select(p => p.First(f => f.Number == 1).AsText);
}
