using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Rows;

/// <summary>A document a row; of one that is longer, each stretch.</summary>
internal sealed class SinglePacker(int capacity, RowTaker emit) : IPacker
{
    public void Add(TokenizedDocument document)
    {
        foreach (Fragment piece in BestFitPacker.Cut(0, document.Ids.Length, capacity))
            emit([RowPiece.Of(document, piece.Start, piece.Length)]);
    }

    public void Finish()
    {
    }

    public void Dispose()
    {
    }
}
