namespace Drover.Tokenization.Reports;

/// <summary>What texts cost in tokens before and after an expansion.</summary>
/// <param name="Source">The file, "held out", or empty for all.</param>
/// <param name="Language">The script of most of its letters, in lower case; empty for all.</param>
/// <param name="Documents">Number of texts.</param>
/// <param name="Characters">Unicode characters.</param>
/// <param name="Words">Runs of letters and digits; a Chinese character is a word of its own.</param>
/// <param name="Utf8Bytes">Bytes of UTF-8.</param>
/// <param name="TokensBefore">Tokens of the base tokenizer.</param>
/// <param name="TokensAfter">Tokens of the expanded one.</param>
public sealed record FertilityRow(string Source, string Language, long Documents, long Characters, long Words, long Utf8Bytes, long TokensBefore, long TokensAfter)
{
    /// <summary>Compression rate as Colossal-LLaMA defines it: tokens per character, before.</summary>
    public double CompressionBefore => Ratio(TokensBefore, Characters);

    /// <summary>Tokens per character, after.</summary>
    public double CompressionAfter => Ratio(TokensAfter, Characters);

    /// <summary>Fertility: tokens per word, before.</summary>
    public double FertilityBefore => Ratio(TokensBefore, Words);

    /// <summary>Tokens per word, after.</summary>
    public double FertilityAfter => Ratio(TokensAfter, Words);

    /// <summary>Bytes that a token stands for, before.</summary>
    public double BytesPerTokenBefore => Ratio(Utf8Bytes, TokensBefore);

    /// <summary>Bytes that a token stands for, after.</summary>
    public double BytesPerTokenAfter => Ratio(Utf8Bytes, TokensAfter);

    /// <summary>Tokens after for one before.</summary>
    public double TokenRatio => Ratio(TokensAfter, TokensBefore);

    private static double Ratio(long a, long b) => b == 0 ? 0 : (double)a / b;
}
