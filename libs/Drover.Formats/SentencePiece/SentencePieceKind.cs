namespace Drover.Formats.SentencePiece;

/// <summary>What a piece is, with SentencePiece's own numbers.</summary>
public enum SentencePieceKind
{
    /// <summary>Text.</summary>
    Normal = 1,

    /// <summary>Stands for what the vocabulary lacks.</summary>
    Unknown = 2,

    /// <summary>A control token: never the result of encoding text.</summary>
    Control = 3,

    /// <summary>Taken out of the text as a whole before merging.</summary>
    UserDefined = 4,

    /// <summary>Kept for its id only.</summary>
    Unused = 5,

    /// <summary>One byte, "&lt;0xNN&gt;".</summary>
    Byte = 6,
}
