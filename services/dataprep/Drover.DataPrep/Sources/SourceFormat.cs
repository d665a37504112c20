using Drover.Errors;

namespace Drover.DataPrep.Sources;

/// <summary>How records lie in a piece of a file. Part of plans: values keep their names.</summary>
internal enum RecordShape
{
    /// <summary>A JSON object a line.</summary>
    Lines,

    /// <summary>One JSON array; records are its elements.</summary>
    Array,

    /// <summary>Lines or an array, told by the first character: of compressed files, which are not looked into while planning.</summary>
    LinesOrArray,

    /// <summary>Plain text; the spec's text unit says what a document is.</summary>
    Text,

    /// <summary>Parquet rows.</summary>
    Parquet,
}

/// <summary>What the bytes of a file went through.</summary>
internal enum Compression
{
    None,
    Gzip,
    Zstandard,
}

/// <summary>What a file's name says of it.</summary>
/// <param name="Shape">How records lie in it.</param>
/// <param name="Compression">How it is compressed.</param>
internal sealed record SourceFormat(RecordShape Shape, Compression Compression)
{
    /// <summary>Names that are read, for messages.</summary>
    public const string Extensions = ".jsonl, .ndjson, .json, .txt (each also .gz or .zst) or .parquet";

    /// <summary>The format of a key, or null when its extension says nothing.</summary>
    public static SourceFormat? Of(string key)
    {
        (string name, Compression compression) = key switch
        {
            _ when Ends(key, ".gz") => (key[..^3], Compression.Gzip),
            _ when Ends(key, ".zst") => (key[..^4], Compression.Zstandard),
            _ => (key, Compression.None),
        };
        if (Ends(name, ".jsonl") || Ends(name, ".ndjson"))
            return new SourceFormat(RecordShape.Lines, compression);
        if (Ends(name, ".json"))
            return new SourceFormat(RecordShape.LinesOrArray, compression);
        if (Ends(name, ".txt"))
            return new SourceFormat(RecordShape.Text, compression);
        return compression == Compression.None && Ends(name, ".parquet") ? new SourceFormat(RecordShape.Parquet, compression) : null;
    }

    /// <summary>The format of a key that was checked.</summary>
    public static SourceFormat Require(string key) => Of(key)
        ?? throw new DroverException(FailureCode.InvalidArgument, "UNKNOWN_SOURCE_FORMAT", $"'{key}' is not a file that can be read: its name ends in none of {Extensions}.");

    /// <summary>Whether a file of this format can be cut into pieces at line ends.</summary>
    public bool IsCuttable => Compression == Compression.None && Shape != RecordShape.Parquet;

    private static bool Ends(string key, string extension) => key.EndsWith(extension, StringComparison.OrdinalIgnoreCase);
}
