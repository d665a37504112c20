using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Documents;

/// <summary>What fields are called: as the spec says, else as usual.</summary>
internal sealed class FieldMap(FieldNames? names)
{
    private readonly FieldNames _names = names ?? new FieldNames();

    public string Text => Or(_names.Text, "text");

    public string Source => Or(_names.Source, "source");

    public string Target => Or(_names.Target, "target");

    public string Category => Or(_names.Category, "category");

    public string System => Or(_names.System, "system");

    public string Tools => Or(_names.Tools, "tools");

    public string Instruction => Or(_names.Instruction, "instruction");

    public string Input => Or(_names.Input, "input");

    public string Output => Or(_names.Output, "output");

    public string History => Or(_names.History, "history");

    /// <summary>Names of the list of messages, the first that is there counts.</summary>
    public IReadOnlyList<string> Messages => Or(_names.Messages, "messages", "conversations");

    /// <summary>Names of a message's role.</summary>
    public IReadOnlyList<string> Role => Or(_names.Role, "role", "from");

    /// <summary>Names of a message's text.</summary>
    public IReadOnlyList<string> Content => Or(_names.Content, "content", "value");

    private static string Or(string given, string usual) => given.Length > 0 ? given : usual;

    private static string[] Or(string given, params string[] usual) => given.Length > 0 ? [given] : usual;
}
