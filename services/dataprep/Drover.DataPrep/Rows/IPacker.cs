using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Rows;

/// <summary>A stretch of a document, as it goes into a row.</summary>
/// <param name="Ids">Its tokens.</param>
/// <param name="Labels">Which of them carry loss.</param>
/// <param name="Category">What it is counted under.</param>
internal readonly record struct RowPiece(ReadOnlyMemory<int> Ids, ReadOnlyMemory<LabelRange> Labels, string Category)
{
    public int Length => Ids.Length;

    /// <summary>A stretch of a document, in the document's memory.</summary>
    public static RowPiece Of(TokenizedDocument document, int start, int length)
    {
        LabelRange[] labels = [.. document.Labels.Select(r => Within(r, start, length)).Where(r => r.Start < r.End)];
        return new RowPiece(document.Ids.Slice(start, length), labels, document.Category);
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
    /// <summary>Takes a document, whose tokens are valid until this returns; may give rows.</summary>
    void Add(TokenizedDocument document);

    /// <summary>Gives the rows that are left.</summary>
    void Finish();
}
