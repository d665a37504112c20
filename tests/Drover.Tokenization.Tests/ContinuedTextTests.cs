namespace Drover.Tokenization.Tests;

public sealed class ContinuedTextTests
{
    private const char Replacement = '�';

    [Theory]
    [InlineData("llama2.tokenizer.model")]
    [InlineData("llama3.tokenizer.model")]
    public async Task Pieces_are_the_text_and_none_ends_within_a_character(string file)
    {
        using var folder = new Folder();
        ITextTokenizer tokenizer = await folder.LoadSharedAsync(file);
        int[] prompt = [tokenizer.BosId, .. tokenizer.Encode("A 龘 of")];
        const string text = " the 🐉 and 龘龘 said \"héllo\".\n  Two spaces, 𠮷𠮷 🏴󠁧󠁢󠁥󠁮󠁧󠁿 and on and on, until the 龍 came home";
        int[] ids = tokenizer.Encode(text);
        // Cut after every token: also in the middle of characters.
        for (int count = 0; count <= ids.Length; count++)
        {
            var continued = new ContinuedText(tokenizer, prompt, []);
            string told = "";
            foreach (int id in ids[..count])
            {
                string piece = continued.Add(id);
                Assert.DoesNotContain(Replacement, piece);
                told += piece;
            }

            told += continued.Finish();
            string whole = tokenizer.Decode([.. prompt, .. ids[..count]], true)[tokenizer.Decode(prompt, true).Length..];
            Assert.Equal(whole.TrimEnd(Replacement), told);
        }
    }

    [Fact]
    public async Task Random_tokens_give_what_decoding_all_of_them_gives()
    {
        using var folder = new Folder();
        ITextTokenizer tokenizer = await folder.LoadSharedAsync("llama2.tokenizer.model");
        var random = new Random(1);
        for (int round = 0; round < 50; round++)
        {
            // Half of them single bytes, most of which make no character.
            int[] ids = [.. Enumerable.Range(0, 40).Select(_ => random.Next(2) == 0 ? random.Next(3, 259) : random.Next(tokenizer.VocabularySize))];
            int[] prompt = [1, 100 + random.Next(20_000)];
            var continued = new ContinuedText(tokenizer, prompt, []);
            string told = string.Concat(ids.Select(continued.Add)) + continued.Finish();
            string whole = tokenizer.Decode([.. prompt, .. ids], true), before = tokenizer.Decode(prompt, true);
            Assert.Equal(whole[before.Length..].TrimEnd(Replacement), told);
        }
    }

    [Theory]
    [InlineData("END", "one two ENE END three", "one two ENE ")]
    [InlineData("two", "one two two", "one ")]
    [InlineData(" t", "one two", "one")]
    [InlineData("three", "one two thre", "one two thre")]
    public async Task A_text_ends_before_a_stop_string_and_never_tells_a_part_of_it(string stop, string text, string expected)
    {
        using var folder = new Folder();
        ITextTokenizer tokenizer = await folder.LoadSharedAsync("llama2.tokenizer.model");
        int[] prompt = [1, .. tokenizer.Encode("Count:")];
        var continued = new ContinuedText(tokenizer, prompt, ["never", stop]);
        string told = "";
        foreach (int id in tokenizer.Encode(" " + text))
        {
            told += continued.Add(id);
            Assert.StartsWith(told.TrimStart(), expected, StringComparison.Ordinal);
            if (continued.IsStopped)
                break;
        }

        told += continued.Finish();
        Assert.Equal(expected, told.TrimStart());
        Assert.Equal(expected != text, continued.IsStopped);
    }
}
