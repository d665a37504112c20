using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Rows;

/// <summary>
/// Packs as Colossal-LLaMA does, to compare with (applications/Colossal-LLaMA/prepare_pretrain_dataset.py and
/// dataset/spliced_and_tokenized_dataset.py): documents are divided into bins by whole percents of their number; in a bin they are cut at
/// the row's length, sorted by category and length, and taken in buffers of at least eight rows; in a buffer a row is closed when the next
/// document does not fit, and the row that is open at its end is dropped, but for the bin's last. Rows keep that order; the seed shuffles
/// those of a buffer, differently each time.
/// </summary>
/// <param name="capacity">Tokens of a row.</param>
/// <param name="bins">The seed's num_spliced_dataset_bins.</param>
/// <param name="emit">Takes a row: its documents in order.</param>
/// <param name="lose">Takes what is lost: the document, how many of its last tokens, and why.</param>
internal sealed class SeedPacker(int capacity, int bins, RowTaker emit, Action<TokenizedDocument, int, string> lose) : IPacker
{
    private const int RowsOfBuffer = 8;
    private readonly List<TokenizedDocument> _documents = [];

    /// <summary>Takes a document in memory of its own.</summary>
    public void Add(TokenizedDocument document) => _documents.Add(document);

    public void Dispose()
    {
    }

    public void Finish()
    {
        int interval = (100 + bins - 1) / bins;
        for (int start = 0; start < 100; start += interval)
        {
            int first = At(start), end = At(Math.Min(100, start + interval));
            PackBin(_documents.GetRange(first, end - first));
        }
    }

    // As datasets rounds a slice given in percent: to the nearest, halves to the even.
    private int At(int percent) => (int)Math.Round(percent * (double)_documents.Count / 100, MidpointRounding.ToEven);

    private void PackBin(List<TokenizedDocument> documents)
    {
        var pieces = documents.Select(d => new DocumentPiece(d, 0, Math.Min(capacity, d.Ids.Length)))
            .OrderBy(p => p.Document.Category, StringComparer.Ordinal).ThenBy(p => p.Length).ToList();
        foreach (DocumentPiece piece in pieces.Where(p => p.Length < p.Document.Ids.Length))
            lose(piece.Document, piece.Document.Ids.Length - capacity, RejectReasons.SeedTruncated);
        for (int at = 0; at < pieces.Count;)
        {
            var open = new List<DocumentPiece>();
            int buffered = 0, filled = 0;
            for (; at < pieces.Count && buffered < RowsOfBuffer * capacity; at++)
            {
                DocumentPiece piece = pieces[at];
                buffered += piece.Length;
                if (filled + piece.Length > capacity)
                {
                    Emit(open);
                    (open, filled) = ([], 0);
                }

                open.Add(piece);
                filled += piece.Length;
            }

            // The seed learns that a bin is over by asking for more than there is: a buffer that is full exactly at its end loses its row, too.
            if (buffered < RowsOfBuffer * capacity)
                Emit(open);
            else
                open.ForEach(p => lose(p.Document, p.Length, RejectReasons.SeedDroppedRow));
        }
    }

    private void Emit(List<DocumentPiece> row) => emit([.. row.Select(p => RowPiece.Of(p.Document, p.Start, p.Length))]);

    private readonly record struct DocumentPiece(TokenizedDocument Document, int Start, int Length);
}
