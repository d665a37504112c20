namespace Drover.DataPrep.Conversations;

/// <summary>What a part of a written conversation is made of.</summary>
internal enum PartKind
{
    Text,

    /// <summary>The tokenizer's token that begins a document.</summary>
    Bos,

    /// <summary>The tokenizer's token that ends a document.</summary>
    Eos,

    /// <summary>A special token of the name; where the vocabulary has none, its name as text.</summary>
    Token,
}

/// <summary>A part of a written conversation. Text is never looked through for special tokens: what a user writes stays text.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Text">The text, or the token's name.</param>
/// <param name="Answer">Which of the assistant's answers it belongs to, from 0; -1 for what the assistant does not say.</param>
internal readonly record struct TemplatePart(PartKind Kind, string Text, int Answer)
{
    /// <summary>Text that is said to the assistant, or by it as its answer of a number.</summary>
    public static TemplatePart Of(string text, int answer = -1) => new(PartKind.Text, text, answer);

    public static TemplatePart Bos(int answer = -1) => new(PartKind.Bos, "", answer);

    public static TemplatePart Eos(int answer = -1) => new(PartKind.Eos, "", answer);

    public static TemplatePart Token(string name, int answer = -1) => new(PartKind.Token, name, answer);
}
