using System.Text.Json;

namespace Drover.DataPrep.Documents;

/// <summary>What a record says, before it is tokenized.</summary>
/// <param name="Category">What it is counted under.</param>
internal abstract record RawDocument(string Category)
{
    /// <summary>All its text, for filters, duplicates and rejects.</summary>
    public abstract string Text { get; }

    /// <summary>Its language, one of <see cref="Quality.Language.All"/>.</summary>
    public virtual string Language => Quality.Language.Of(Text);
}

/// <summary>Turns records of one format into documents. Of one thread.</summary>
internal interface IDocumentReader
{
    /// <summary>Reads a JSON object.</summary>
    /// <exception cref="RejectedException">It holds no document.</exception>
    RawDocument Extract(JsonElement record);

    /// <summary>
    /// The same from the bytes of a JSON value, without a tree of it: null for whatever is not quite as usual, which
    /// <see cref="Extract(JsonElement)"/> then looks at.
    /// </summary>
    /// <param name="json">UTF-8. The document may hold on to it.</param>
    RawDocument? ExtractUsual(ReadOnlyMemory<byte> json) => null;

    /// <summary>Reads a document of a text file.</summary>
    /// <param name="utf8">The document may hold on to it.</param>
    /// <exception cref="RejectedException">Such files hold none of this format.</exception>
    RawDocument ExtractText(ReadOnlyMemory<byte> utf8);

    /// <summary>Makes tokens of what was read last.</summary>
    /// <exception cref="RejectedException">They cannot be made.</exception>
    DocumentOutcome Tokenize(RawDocument document);
}
