namespace Drover.DataPrep.Documents;

/// <summary>A document or conversation as token ids.</summary>
/// <param name="Ids">BOS and EOS included. Valid until its reader makes tokens of the next.</param>
/// <param name="Labels">Which of them carry loss: ranges in rising order, not touching index 0.</param>
/// <param name="Category">What its tokens are counted under.</param>
/// <param name="TextBytes">UTF-8 bytes of the text that <paramref name="Ids"/> stand for.</param>
internal sealed record TokenizedDocument(ReadOnlyMemory<int> Ids, IReadOnlyList<LabelRange> Labels, string Category, long TextBytes);

/// <summary>Tokens from <paramref name="Start"/> to before <paramref name="End"/>.</summary>
internal readonly record struct LabelRange(int Start, int End);

/// <summary>What a record gave.</summary>
/// <param name="Document">Null when no token of it can be used.</param>
/// <param name="TokensIn">All tokens of the record.</param>
/// <param name="Reject">Why tokens are missing from <paramref name="Document"/>; null when none are.</param>
/// <param name="Message">The same for a person.</param>
internal sealed record DocumentOutcome(TokenizedDocument? Document, int TokensIn, string? Reject, string? Message)
{
    /// <summary>A document that is used whole.</summary>
    public static DocumentOutcome Whole(TokenizedDocument document) => new(document, document.Ids.Length, null, null);
}
