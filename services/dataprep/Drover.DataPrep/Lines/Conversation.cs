namespace Drover.DataPrep.Lines;

/// <summary>A conversation in the shape that all accepted forms of lines come down to.</summary>
/// <param name="System">Instruction to the assistant; empty for none.</param>
/// <param name="Exchanges">At least one; only the last may have no answer.</param>
internal sealed record Conversation(string System, IReadOnlyList<Exchange> Exchanges);

/// <summary>What the user says and what the assistant answers.</summary>
internal sealed record Exchange(string User, string? Assistant);
