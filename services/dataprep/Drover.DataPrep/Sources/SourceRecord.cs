using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Sources;

/// <summary>One record of a source: a JSON value that is not parsed yet, a text, or what is wrong with it.</summary>
/// <param name="Number">Of the line, element or row, from 1; of a text, its first line.</param>
/// <param name="Utf8">Its bytes, which are UTF-8; valid until the next record is read.</param>
/// <param name="IsText">Whether they are a document of a text file, and not JSON.</param>
/// <param name="Fault">Why it is neither.</param>
internal readonly record struct SourceRecord(long Number, ReadOnlyMemory<byte> Utf8, bool IsText, RejectedException? Fault)
{
    /// <summary>A record that cannot be read.</summary>
    public SourceRecord(long number, RejectedException fault)
        : this(number, default, false, fault)
    {
    }
}
