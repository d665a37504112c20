using System.Text;
using CsCheck;
using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Tokenization.Tests;

public sealed class UnusualTextTests
{
    private static readonly Gen<string> Text = Gen.OneOf(
        Gen.String,
        Gen.Char[" \n\t▁aeéбж中国，。🎉"].Array[0, 60].Select(c => new string(c)),
        Gen.Int[0, 0x10FFFF].Where(Rune.IsValid).Select(c => new Rune(c).ToString()).Array[0, 20].Select(string.Concat));

    [Theory]
    [InlineData("llama2.tokenizer.model")]
    [InlineData("llama3.tokenizer.model")]
    public async Task Ids_do_not_depend_on_what_was_encoded_before_and_text_comes_back(string file)
    {
        using var folder = new Folder();
        ITextTokenizer warm = await folder.LoadSharedAsync(file);
        Vocabulary vocabulary = await TokenizerFolder.ReadAsync(folder.Store, "tokenizers/base", Folder.Cancellation);
        var fresh = new Lazy<BpeTokenizer>(() => TokenizerFolder.CreateBpe(vocabulary));
        var ids = new TokenBuffer();
        Text.Sample(
            text =>
            {
                string valid = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
                int[] first = warm.Encode(text);
                ids.Clear();
                fresh.Value.Encode(Encoding.UTF8.GetBytes(text), ids);
                Assert.Equal(first, ids.ToArray());
                Assert.Equal(first, warm.Encode(text));
                string expected = warm.Family == TokenizerFamily.SentencePieceBpe ? valid.Replace('▁', ' ') : valid;
                Assert.Equal(expected, warm.Decode(first, skipSpecialTokens: true));
                Assert.DoesNotContain(first, warm.IsSpecial);
            },
            iter: 3000,
            threads: 1);
    }

    [Theory]
    [InlineData("llama2.tokenizer.model")]
    [InlineData("llama3.tokenizer.model")]
    public async Task Very_long_lines_without_spaces_are_encoded_and_come_back(string file)
    {
        using var folder = new Folder();
        ITextTokenizer tokenizer = await folder.LoadSharedAsync(file);
        foreach (string unit in (string[])["a", " ", "中", "ab", "🎉", "\n"])
        {
            string text = string.Concat(Enumerable.Repeat(unit, 1_000_000));
            int[] ids = tokenizer.Encode(text);
            Assert.True(ids.Length <= Encoding.UTF8.GetByteCount(text) + 1);
            Assert.Equal(text, tokenizer.Decode(ids, skipSpecialTokens: true));
        }
    }

    [Theory]
    [InlineData("llama2.tokenizer.model", "<s>", 1)]
    [InlineData("llama3.tokenizer.model", "<|eot_id|>", 128009)]
    public async Task A_special_tokens_name_is_text_unless_it_is_asked_for(string file, string name, int id)
    {
        using var folder = new Folder();
        ITextTokenizer tokenizer = await folder.LoadSharedAsync(file);
        string text = $"begin {name}{name} end";
        Assert.DoesNotContain(id, tokenizer.Encode(text));
        Assert.Equal(2, tokenizer.EncodeWithSpecialTokens(text).Count(i => i == id));
        Assert.Equal(tokenizer.Encode("begin "), tokenizer.EncodeWithSpecialTokens(text).TakeWhile(i => i != id));
    }

    [Fact]
    public async Task Bytes_that_are_not_UTF8_and_half_surrogate_pairs_are_read_as_replacement_characters()
    {
        using var folder = new Folder();
        ITextTokenizer tokenizer = await folder.LoadSharedAsync("llama2.tokenizer.model");
        var ids = new TokenBuffer();
        tokenizer.Encode([(byte)'a', 0xFF, (byte)'b'], ids);
        Assert.Equal(tokenizer.Encode("a\uFFFDb"), ids.ToArray());
        Assert.Equal(tokenizer.Encode("a\uFFFDb"), tokenizer.Encode("a\uD800b"));
    }

    [Theory]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}}""")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}""")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 9000000}, "merges": []}}""")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}}}""")]
    [InlineData("""{"model": """)]
    [InlineData("[]")]
    public async Task A_damaged_tokenizer_json_is_named(string json)
    {
        using var folder = new Folder();
        await folder.Store.PutTextAsync("tokenizers/bad/tokenizer.json", json, Folder.Cancellation);
        DroverException failure = await Assert.ThrowsAsync<DroverException>(() => TokenizerFolder.LoadAsync(folder.Store, "tokenizers/bad", Folder.Cancellation));
        Assert.Contains(failure.Code, (FailureCode[])[FailureCode.DataLoss, FailureCode.FailedPrecondition]);
        Assert.Contains("tokenizers/bad/tokenizer.json", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_merge_that_stands_twice_is_refused()
    {
        using var folder = new Folder();
        await folder.PutSharedAsync("llama2.tokenizer.model", "tokenizers/base");
        Vocabulary vocabulary = await TokenizerFolder.ReadAsync(folder.Store, "tokenizers/base", Folder.Cancellation);
        await TokenizerFiles.WriteAsync(folder.Store, "tokenizers/new", vocabulary, null, Folder.Cancellation);
        await folder.Store.DeleteAsync("tokenizers/new/tokenizer.model", Folder.Cancellation);
        string json = await folder.Store.ReadTextAsync("tokenizers/new/tokenizer.json", Folder.Cancellation);
        await folder.Store.PutTextAsync("tokenizers/new/tokenizer.json", json.Replace("\"merges\":[", "\"merges\":[\"▁ t\",", StringComparison.Ordinal), Folder.Cancellation);
        DroverException failure = await Assert.ThrowsAsync<DroverException>(() => TokenizerFolder.LoadAsync(folder.Store, "tokenizers/new", Folder.Cancellation));
        Assert.Contains("▁ t", failure.Message, StringComparison.Ordinal);
    }
}
