using System.Buffers;
using System.Text;

namespace Drover.DataPrep.Documents;

/// <summary>The text of a pretraining document; only the target of a source and target carries loss.</summary>
/// <param name="Utf8">Source and target; valid until the next record is read.</param>
/// <param name="SourceBytes">Bytes of the source.</param>
/// <param name="Category">What it is counted under.</param>
internal sealed record PretrainText(ReadOnlyMemory<byte> Utf8, int SourceBytes, string Category) : RawDocument(Category)
{
    public override string Text => Encoding.UTF8.GetString(Utf8.Span);

    public override string Language => Quality.Language.Of(Utf8.Span);

    /// <summary>The source alone.</summary>
    public string Source => Encoding.UTF8.GetString(Utf8.Span[..SourceBytes]);

    /// <summary>Whether the target is white space alone, or nothing.</summary>
    public bool IsBlank
    {
        get
        {
            ReadOnlySpan<byte> rest = Utf8.Span[SourceBytes..];
            while (!rest.IsEmpty && Rune.DecodeFromUtf8(rest, out Rune rune, out int used) == OperationStatus.Done && Rune.IsWhiteSpace(rune))
                rest = rest[used..];
            return rest.IsEmpty;
        }
    }

    /// <summary>A document of strings.</summary>
    public static PretrainText Of(string source, string target, string category) =>
        new(Encoding.UTF8.GetBytes(source + target), Encoding.UTF8.GetByteCount(source), category);
}
