using System.Text.Json;
using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Conversations;

/// <summary>
/// Reads a conversation from a record: "messages" or "conversations" with role/content (OpenAI) or from/value (ShareGPT; any mix of the
/// two names), or Alpaca's instruction, input, output, history.
/// Roles: user, human; assistant, gpt, and function_call are what the model says; tool, observation, function_response, ipython are what a
/// tool answers.
/// </summary>
internal sealed class ConversationParser(FieldMap fields)
{
    /// <summary>Reads one.</summary>
    /// <exception cref="RejectedException">The record holds no conversation that can be learned from.</exception>
    public Conversation Parse(JsonElement record)
    {
        string? messages = fields.Messages.FirstOrDefault(name => record.Has(name));
        List<Turn> turns = messages is not null ? Messages(record, messages)
            : record.Has(fields.Instruction) || record.Has(fields.Output) ? Alpaca(record)
            : throw new RejectedException(RejectReasons.MissingField, $"there is no \"{string.Join("\" or \"", fields.Messages)}\", and no \"{fields.Instruction}\" with \"{fields.Output}\"");
        if (turns.TrueForAll(t => t.Role != TurnRole.Assistant))
            throw new RejectedException(RejectReasons.NoAssistantTurn, "the assistant says nothing");
        return new Conversation(turns, Tools(record), record.Category(fields.Category));
    }

    private List<Turn> Messages(JsonElement record, string field)
    {
        List<Turn> turns = Start(record);
        int index = 0;
        foreach (JsonElement message in record.OptionalArray(field)!.Value.EnumerateArray())
        {
            string place = $"{field}[{index++}]";
            if (message.ValueKind != JsonValueKind.Object)
                throw JsonFields.WrongType(place, "an object", message);
            TurnRole role = RoleOf(Required(message, fields.Role, place), place);
            // OpenAI writes a call of a function beside the text or instead of it.
            string text = message.Find("tool_calls") is { ValueKind: JsonValueKind.Array } calls && calls.GetArrayLength() > 0
                ? string.Join("\n", new[] { Optional(message, fields.Content), calls.GetRawText() }.OfType<string>())
                : Required(message, fields.Content, place);
            Add(turns, role, text, place);
        }

        return turns;
    }

    private List<Turn> Alpaca(JsonElement record)
    {
        List<Turn> turns = Start(record);
        foreach (JsonElement pair in record.OptionalArray(fields.History)?.EnumerateArray() ?? default)
        {
            if (pair.ValueKind != JsonValueKind.Array || pair.GetArrayLength() != 2)
                throw JsonFields.WrongType(fields.History, "an array of pairs of strings", pair);
            Add(turns, TurnRole.User, pair[0].Text(fields.History), fields.History);
            Add(turns, TurnRole.Assistant, pair[1].Text(fields.History), fields.History);
        }

        string instruction = record.RequiredText(fields.Instruction);
        string input = record.OptionalText(fields.Input) ?? "";
        Add(turns, TurnRole.User, input.Trim().Length > 0 ? $"{instruction.Trim()}\n{input.Trim()}" : instruction, fields.Instruction);
        Add(turns, TurnRole.Assistant, record.RequiredText(fields.Output), fields.Output);
        return turns;
    }

    private List<Turn> Start(JsonElement record)
    {
        var turns = new List<Turn>();
        if (record.OptionalText(fields.System) is { } system)
            Add(turns, TurnRole.System, system, fields.System);
        return turns;
    }

    // A list of functions, or a text that holds one.
    private string Tools(JsonElement record)
    {
        if (record.Find(fields.Tools) is not { } tools)
            return "";
        string text = tools.ValueKind == JsonValueKind.String ? tools.Text(fields.Tools).Trim() : tools.GetRawText();
        return text == "[]" ? "" : text;
    }

    private static void Add(List<Turn> turns, TurnRole role, string text, string place)
    {
        bool isFirst = turns.All(t => t.Role == TurnRole.System);
        if (role == TurnRole.System && !isFirst)
            throw new RejectedException(RejectReasons.TurnOrder, $"{place}: a system message comes after a turn");
        if (role == TurnRole.Assistant && isFirst)
            throw new RejectedException(RejectReasons.TurnOrder, $"{place}: the assistant speaks before the user");
        if (string.IsNullOrWhiteSpace(text))
        {
            // A system message that says nothing is none.
            if (role == TurnRole.System)
                return;
            throw new RejectedException(RejectReasons.EmptyText, $"{place} is empty");
        }

        turns.Add(new Turn(role, text));
    }

    private static string? Optional(JsonElement message, IReadOnlyList<string> names) =>
        names.Select(name => message.OptionalText(name)).FirstOrDefault(text => text is not null);

    private static string Required(JsonElement message, IReadOnlyList<string> names, string place) =>
        Optional(message, names) ?? throw new RejectedException(RejectReasons.MissingField, $"{place} has no \"{string.Join("\" or \"", names)}\"");

    private static TurnRole RoleOf(string role, string place) => role.ToLowerInvariant() switch
    {
        "system" => TurnRole.System,
        "user" or "human" => TurnRole.User,
        "assistant" or "gpt" or "function_call" => TurnRole.Assistant,
        "tool" or "observation" or "function_response" or "ipython" => TurnRole.Tool,
        _ => throw new RejectedException(RejectReasons.UnknownRole, $"{place} has the role '{role}'; known are system, user, human, assistant, gpt, function_call, tool, observation, function_response, ipython"),
    };
}
