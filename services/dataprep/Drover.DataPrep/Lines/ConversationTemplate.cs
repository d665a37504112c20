namespace Drover.DataPrep.Lines;

/// <summary>How a conversation is written down. BOS and EOS are ids, never text, and no text is parsed for them.</summary>
internal sealed class ConversationTemplate
{
    private readonly Func<string, string, string> _prompt;
    private readonly string _answerEnd;

    private ConversationTemplate(string name, bool bosPerExchange, string answerEnd, Func<string, string, string> prompt)
    {
        Name = name;
        BosPerExchange = bosPerExchange;
        _answerEnd = answerEnd;
        _prompt = prompt;
    }

    /// <summary>The one that is used when a spec names none.</summary>
    public const string Default = "llama2";

    /// <summary>All templates by name.</summary>
    public static IReadOnlyDictionary<string, ConversationTemplate> All { get; } = new[]
    {
        // As Meta's llama repository writes dialogs: each exchange is "BOS [INST] user [/INST] answer EOS".
        new ConversationTemplate("llama2", bosPerExchange: true, answerEnd: " ", (system, user) =>
            system.Length > 0 ? $"[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]" : $"[INST] {user} [/INST]"),
        // For a tokenizer of any family: readable lines.
        new ConversationTemplate("plain", bosPerExchange: false, answerEnd: "", (system, user) =>
            system.Length > 0 ? $"System: {system}\nUser: {user}\nAssistant:" : $"User: {user}\nAssistant:"),
    }.ToDictionary(t => t.Name, StringComparer.Ordinal);

    /// <summary>Its name in a spec.</summary>
    public string Name { get; }

    /// <summary>Whether every exchange begins with BOS, or the conversation only.</summary>
    public bool BosPerExchange { get; }

    /// <summary>The text before the answer. <paramref name="system"/> is empty but for the first exchange.</summary>
    public string Prompt(string system, string user) => _prompt(system, user);

    /// <summary>The text of an answer, which follows the prompt directly; EOS comes after it.</summary>
    public string Answer(string answer) => " " + answer + _answerEnd;
}
