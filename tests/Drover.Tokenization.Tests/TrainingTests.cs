using Drover.Errors;
using Drover.Formats.SentencePiece;
using Drover.Tokenization.Training;

namespace Drover.Tokenization.Tests;

public sealed class TrainingTests
{
    private static readonly string[] Lines =
    [
        "The drover drives the herd over the river, the drover rests.",
        "A herd of 120 sheep; the other herd has 87!",
        "牧人赶着羊群过河。羊群在河边休息，牧人也休息。",
    ];

    [Fact]
    public void A_learnt_vocabulary_has_the_size_asked_for_and_encodes_its_own_text_and_any_other()
    {
        ITextTokenizer tokenizer = TokenizerFolder.Create(Train(Lines, 345));
        Assert.Equal(345, tokenizer.VocabularySize);
        Assert.Equal((0, 1, 2), (tokenizer.UnkId, tokenizer.BosId, tokenizer.EosId));
        foreach (string text in (string[])[.. Lines, "unseen: Ünïcode 🎉 龘\n\ttabs  and  spaces"])
            Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text), skipSpecialTokens: true));
        Assert.Contains("▁the", Enumerable.Range(0, 345).Select(tokenizer.PieceOf));
        Assert.True(tokenizer.Encode(Lines[0]).Length < Lines[0].Length * 2 / 3);
    }

    [Fact]
    public void The_order_of_texts_does_not_matter() =>
        Assert.Equal(Train(Lines, 340).ContentHash(), Train([.. Lines.Reverse()], 340).ContentHash());

    [Fact]
    public void Digits_stand_alone_and_no_piece_joins_two_scripts_or_two_words()
    {
        foreach (SentencePiece piece in Train(Lines, 345).Pieces.Where(p => p.Kind == SentencePieceKind.Normal && p.Text.Length > 1))
        {
            Assert.DoesNotContain(piece.Text, char.IsDigit);
            Assert.DoesNotContain('▁', piece.Text[1..]);
            Assert.False(piece.Text.Any(char.IsAsciiLetter) && piece.Text.Any(c => c > 0x2E80), piece.Text);
        }
    }

    [Fact]
    public void Every_learnt_piece_is_reached_by_merges()
    {
        Vocabulary vocabulary = Train(Lines, 350);
        BpeTokenizer tokenizer = TokenizerFolder.CreateBpe(vocabulary);
        for (int id = BpeTrainer.ReservedPieces; id < vocabulary.Pieces.Count; id++)
            Assert.Equal([id], tokenizer.EncodePiece(vocabulary.Pieces[id].Text));
    }

    [Fact]
    public void A_size_below_the_characters_and_one_above_the_text_are_refused_with_the_numbers()
    {
        Assert.Contains("at least", Assert.Throws<DroverException>(() => Train(Lines, 270)).Message, StringComparison.Ordinal);
        DroverException much = Assert.Throws<DroverException>(() => Train(Lines, 5000));
        Assert.Equal(FailureCode.FailedPrecondition, much.Code);
        Assert.Contains("5000", much.Message, StringComparison.Ordinal);
    }

    private static Vocabulary Train(string[] lines, int size)
    {
        var words = new TrainingWords();
        foreach (string line in lines)
            words.Add(line);
        return BpeTrainer.Train(words, size, 1, null, Folder.Cancellation);
    }
}
