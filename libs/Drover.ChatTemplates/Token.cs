namespace Drover.ChatTemplates;

internal enum TokenKind
{
    Text,
    OpenBlock,
    CloseBlock,
    OpenOutput,
    CloseOutput,
    Name,
    String,
    Integer,
    Float,
    Operator,
    End,
}

/// <summary>A word of a template.</summary>
internal readonly record struct Token(TokenKind Kind, string Text, int Line);
