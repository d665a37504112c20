using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Rows;

/// <summary>A document a row; of one that is longer, each stretch.</summary>
internal sealed class SinglePacker(int capacity, Action<IReadOnlyList<DocumentPiece>> emit) : IPacker
{
    public void Add(TokenizedDocument document)
    {
        foreach (Fragment piece in BestFitPacker.Cut(0, document.Ids.Length, capacity))
            emit([new DocumentPiece(document, piece.Start, piece.Length)]);
    }

    public void Finish()
    {
    }
}
