namespace Drover.Formats.TokenizerJson;

/// <summary>What a <c>tokenizer.json</c> of one of the two LLaMA families says.</summary>
public sealed record TokenizerJsonModel
{
    /// <summary>The name of the file.</summary>
    public const string FileName = "tokenizer.json";

    /// <summary>The pattern by which LLaMA-3 cuts text into words.</summary>
    public const string Llama3Pattern = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>The pattern of Qwen 2 and 3: digits stand alone.</summary>
    public const string QwenPattern = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Bytes as the letters of the ByteLevel alphabet (LLaMA-3), or characters with byte fallback (LLaMA-2).</summary>
    public required bool ByteLevel { get; init; }

    /// <summary>Pieces by id, added tokens included; an id that the file leaves out is null.</summary>
    public required IReadOnlyList<string?> Pieces { get; init; }

    /// <summary>Merges, best first.</summary>
    public required IReadOnlyList<(string Left, string Right)> Merges { get; init; }

    /// <summary>Added tokens marked special.</summary>
    public required IReadOnlySet<int> Special { get; init; }

    /// <summary>Whether a word that is a piece is taken without merging.</summary>
    public required bool IgnoreMerges { get; init; }

    /// <summary>A space before every text: never, always, or unless the text starts with one.</summary>
    public required DummyPrefix Prefix { get; init; }

    /// <summary>How byte-level text is cut into words.</summary>
    public WordPattern Words { get; init; }

    /// <summary>Whether text is brought into Unicode's normal form C first (Qwen).</summary>
    public bool NormalizesToC { get; init; }

    /// <summary>The unknown token's name, null for none.</summary>
    public required string? UnknownToken { get; init; }
}

/// <summary>The pattern by which a byte-level tokenizer cuts text into words.</summary>
public enum WordPattern
{
    /// <summary><see cref="TokenizerJsonModel.Llama3Pattern"/>.</summary>
    Llama3,

    /// <summary><see cref="TokenizerJsonModel.QwenPattern"/>.</summary>
    Qwen,

    /// <summary>The one that the ByteLevel step has in itself, GPT-2's.</summary>
    Gpt2,
}

/// <summary>When a space is put before a text.</summary>
public enum DummyPrefix
{
    /// <summary>Never.</summary>
    None,

    /// <summary>Before every text that is not empty, as SentencePiece does.</summary>
    Always,

    /// <summary>Unless the text starts with a space, as Metaspace does.</summary>
    UnlessSpace,
}
