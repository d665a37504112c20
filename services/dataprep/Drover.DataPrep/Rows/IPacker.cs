using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Rows;

/// <summary>A stretch of a document, as it goes into a row.</summary>
/// <param name="Ids">Holds its tokens.</param>
/// <param name="Start">Its first token there.</param>
/// <param name="Length">Tokens.</param>
/// <param name="Labels">Holds which of its tokens carry loss, counted from its own first.</param>
/// <param name="FirstLabel">Its first range there.</param>
/// <param name="LabelCount">Ranges.</param>
/// <param name="Category">What it is counted under.</param>
internal readonly record struct RowPiece(int[] Ids, int Start, int Length, LabelRange[] Labels, int FirstLabel, int LabelCount, string Category)
{
    public ReadOnlySpan<int> Tokens => Ids.AsSpan(Start, Length);

    public ReadOnlySpan<LabelRange> LabelRanges => Labels.AsSpan(FirstLabel, LabelCount);

    /// <summary>A stretch of a document that is in memory of its own.</summary>
    public static RowPiece Of(TokenizedDocument document, int start, int length)
    {
        LabelRange[] labels = [.. document.Labels.Select(r => Within(r, start, length)).Where(r => r.Start < r.End)];
        return new RowPiece(document.Ids, start, length, labels, 0, labels.Length, document.Category);
    }

    /// <summary>What of a document's range lies in a stretch of it, counted from there; empty where Start is not less than End.</summary>
    public static LabelRange Within(LabelRange range, int start, int length) =>
        // Nothing in the row predicts the first token of a stretch.
        new(Math.Max(range.Start - start, 1), Math.Min(range.End - start, length));
}

/// <summary>Takes a row: its stretches in order. What they hold is valid until this returns.</summary>
internal delegate void RowTaker(ReadOnlySpan<RowPiece> pieces);

/// <summary>Turns a stream of documents into rows. The same documents in the same order give the same rows.</summary>
internal interface IPacker : IDisposable
{
    /// <summary>Takes a document; may give rows.</summary>
    void Add(TokenizedDocument document);

    /// <summary>Gives the rows that are left.</summary>
    void Finish();
}
