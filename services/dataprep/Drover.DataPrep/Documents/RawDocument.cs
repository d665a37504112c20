using System.Text.Json;

namespace Drover.DataPrep.Documents;

/// <summary>What a record says, before it is tokenized.</summary>
/// <param name="Category">What it is counted under.</param>
internal abstract record RawDocument(string Category)
{
    /// <summary>All its text, for filters, duplicates and rejects.</summary>
    public abstract string Text { get; }
}

/// <summary>Turns records of one format into documents.</summary>
internal interface IDocumentReader
{
    /// <summary>Reads a JSON object.</summary>
    /// <exception cref="RejectedException">It holds no document.</exception>
    RawDocument Extract(JsonElement record);

    /// <summary>Reads a document of a text file.</summary>
    /// <exception cref="RejectedException">Such files hold none of this format.</exception>
    RawDocument Extract(string text);

    /// <summary>Makes tokens of what was read.</summary>
    /// <exception cref="RejectedException">They cannot be made.</exception>
    DocumentOutcome Tokenize(RawDocument document);
}
