using System.Text.Json;
using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Sources;

/// <summary>One record of a source: a JSON value, a text, or what is wrong with it.</summary>
/// <param name="Number">Of the line, element or row, from 1; of a text, its first line.</param>
/// <param name="Json">A record of a JSON or Parquet file; to be disposed of by whoever takes it.</param>
/// <param name="Text">A document of a text file.</param>
/// <param name="Fault">Why it is neither.</param>
internal readonly record struct SourceRecord(long Number, JsonDocument? Json, string? Text, RejectedException? Fault);
