using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Conversations;

/// <summary>Who speaks.</summary>
internal enum TurnRole
{
    System,
    User,
    Assistant,

    /// <summary>What a tool answered.</summary>
    Tool,
}

/// <summary>One message.</summary>
internal sealed record Turn(TurnRole Role, string Text);

/// <summary>A conversation in the shape that all accepted forms of records come down to.</summary>
/// <param name="Turns">System turns first, if there are any; the first other one is no assistant's; one at least is.</param>
/// <param name="Tools">Descriptions of the functions that the assistant may call, as JSON; empty for none.</param>
/// <param name="Category">What it is counted under.</param>
internal sealed record Conversation(IReadOnlyList<Turn> Turns, string Tools, string Category) : RawDocument(Category)
{
    public override string Text => string.Join("\n", Turns.Select(t => t.Text));

    /// <summary>System turns and tools as one text; empty for none.</summary>
    public string SystemText()
    {
        IEnumerable<string> parts = Turns.TakeWhile(t => t.Role == TurnRole.System).Select(t => t.Text);
        return string.Join("\n", Tools.Length > 0 ? parts.Append("Tools: " + Tools) : parts);
    }

    /// <summary>
    /// Pairs of what is said to the assistant and what it answers, for templates that know no more: neighbours of one side are joined by a
    /// newline, what tools say is said to the assistant. Only the last pair may have no answer. Texts are trimmed.
    /// </summary>
    public IEnumerable<Exchange> Exchanges()
    {
        var sides = new List<(bool IsAssistant, string Text)>();
        foreach (Turn turn in Turns.Where(t => t.Role != TurnRole.System))
        {
            bool isAssistant = turn.Role == TurnRole.Assistant;
            string text = turn.Text.Trim();
            if (sides.Count > 0 && sides[^1].IsAssistant == isAssistant)
                sides[^1] = (isAssistant, $"{sides[^1].Text}\n{text}");
            else
                sides.Add((isAssistant, text));
        }

        return sides.Chunk(2).Select((pair, i) => new Exchange(i, pair[0].Text, pair.Length > 1 ? pair[1].Text : null));
    }

    /// <summary>How many questions of the user there are, each with all that follows up to the next.</summary>
    public int Rounds => Starts().Count;

    /// <summary>The conversation without its first and last rounds; system turns stay.</summary>
    /// <param name="first">Rounds that go from the start.</param>
    /// <param name="count">Rounds that stay.</param>
    public Conversation Part(int first, int count)
    {
        List<int> starts = Starts();
        int end = first + count < starts.Count ? starts[first + count] : Turns.Count;
        return this with { Turns = [.. Turns.TakeWhile(t => t.Role == TurnRole.System), .. Turns.Take(end).Skip(starts[first])] };
    }

    private List<int> Starts() =>
        [.. Enumerable.Range(0, Turns.Count).Where(i => Turns[i].Role != TurnRole.System && (i == 0 || Turns[i - 1].Role == TurnRole.System || (Turns[i].Role == TurnRole.User && Turns[i - 1].Role != TurnRole.User)))];
}

/// <summary>What the user says and what the assistant answers.</summary>
/// <param name="Index">From 0.</param>
/// <param name="User">The question.</param>
/// <param name="Assistant">The answer, or null.</param>
internal sealed record Exchange(int Index, string User, string? Assistant);
