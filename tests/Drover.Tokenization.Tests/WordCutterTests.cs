using System.Text;
using System.Text.RegularExpressions;
using CsCheck;
using Drover.Formats.TokenizerJson;

namespace Drover.Tokenization.Tests;

/// <summary>Hand-written cutting against the patterns themselves, on text without surrogates (.NET's patterns see UTF-16 units).</summary>
public sealed class WordCutterTests
{
    private const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private static readonly Gen<string> Text = Gen.OneOf(
        Gen.Char[" \t\n\r'.,!-_()aAsStTrReEvVlLdDmM0123456789éñжЖ中文字\u00A0\u3000\u0301½²Ⅷ٣€。，"].Array[1, 80],
        Gen.Char[(char)1, (char)0xD7FF].Array[1, 40]).Select(c => new string(c).Replace('ſ', 's').Replace('K', 'k'));

    [Theory]
    [InlineData(WordPattern.Llama3, TokenizerJsonModel.Llama3Pattern)]
    [InlineData(WordPattern.Qwen, TokenizerJsonModel.QwenPattern)]
    [InlineData(WordPattern.Gpt2, Gpt2Pattern)]
    public void Words_are_those_that_the_pattern_finds(WordPattern words, string pattern)
    {
        var regex = new Regex(pattern, RegexOptions.CultureInvariant);
        Text.Sample(text => Assert.Equal(regex.Matches(text).Select(m => m.Value), Words(words, text)), iter: 20_000, threads: 1);
    }

    private static List<string> Words(WordPattern words, string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        var found = new List<string>();
        for (int at = 0; at < utf8.Length;)
        {
            int length = words switch
            {
                WordPattern.Gpt2 => new Gpt2Cutter().Next(ref utf8[at], utf8.Length - at),
                WordPattern.Qwen => new Llama3Cutter(1).Next(ref utf8[at], utf8.Length - at),
                _ => new Llama3Cutter(3).Next(ref utf8[at], utf8.Length - at),
            };
            found.Add(Encoding.UTF8.GetString(utf8, at, length));
            at += length;
        }

        return found;
    }
}
