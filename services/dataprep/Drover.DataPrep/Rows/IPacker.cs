using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Rows;

/// <summary>A stretch of a document in a row.</summary>
/// <param name="Document">The document.</param>
/// <param name="Start">Its first token there.</param>
/// <param name="Length">Tokens.</param>
internal readonly record struct DocumentPiece(TokenizedDocument Document, int Start, int Length);

/// <summary>Turns a stream of documents into rows. The same documents in the same order give the same rows.</summary>
internal interface IPacker
{
    /// <summary>Takes a document; may give rows.</summary>
    void Add(TokenizedDocument document);

    /// <summary>Gives the rows that are left.</summary>
    void Finish();
}
