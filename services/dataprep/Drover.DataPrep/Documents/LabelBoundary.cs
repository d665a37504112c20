using Drover.Tokenization;

namespace Drover.DataPrep.Documents;

/// <summary>
/// Where the labels of "prompt + answer" begin, when both were tokenized as one text. Tokenizing the prompt alone gives
/// a wrong count wherever a token spans the border, so the border is found on the tokens of the whole text: the first
/// token that begins at or after the end of the prompt. A token that holds characters of both carries no loss.
/// </summary>
internal static class LabelBoundary
{
    // A token that spans the border ends within a few tokens of where the two tokenizations part.
    private const int MaxSteps = 16;

    /// <summary>How many of <paramref name="ids"/> belong to <paramref name="prompt"/>, the head of the text that they encode.</summary>
    public static int Find(ITextTokenizer tokenizer, int[] ids, string prompt)
    {
        int[] alone = tokenizer.Encode(prompt);
        int common = alone.AsSpan().CommonPrefixLength(ids);
        if (common == alone.Length)
            return common;
        for (int count = common; count <= Math.Min(ids.Length, common + MaxSteps); count++)
        {
            // Starts with, not length: half a character decodes to a replacement character.
            if (tokenizer.Decode(new ArraySegment<int>(ids, 0, count), skipSpecialTokens: false).StartsWith(prompt, StringComparison.Ordinal))
                return count;
        }

        // A tokenizer that rewrites text (NFKC) does not decode to what was given: the longest common head is what is certain.
        return common;
    }
}
