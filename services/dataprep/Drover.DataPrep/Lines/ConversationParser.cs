using System.Text.Json;

namespace Drover.DataPrep.Lines;

/// <summary>
/// Reads a conversation from a line: "messages" or "conversations" with role/content or from/value (any mix of the two
/// names), or Alpaca's instruction, input, output, history.
/// Roles: user, human, and what tools say back (tool, observation, function_response) speak to the model and carry no
/// loss; assistant, gpt, and function_call are what the model says. Neighbours of the same side are joined by a newline.
/// "tools" (descriptions of functions) is put at the end of the system text, because without it nothing explains a call.
/// </summary>
internal static class ConversationParser
{
    private enum Side
    {
        System,
        User,
        Assistant,
    }

    public static Conversation Parse(JsonElement line)
    {
        foreach (string name in new[] { "messages", "conversations" })
        {
            if (line.Has(name))
                return FromMessages(line, name);
        }

        return line.Has("instruction") || line.Has("output")
            ? FromAlpaca(line)
            : throw new LineRejectedException(RejectReasons.MissingField, "there is no \"messages\", \"conversations\" or \"instruction\" with \"output\"");
    }

    private static Conversation FromMessages(JsonElement line, string field)
    {
        JsonElement messages = line.GetProperty(field);
        if (messages.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType(field, "an array", messages);
        var turns = new Turns();
        turns.Add(Side.System, line.OptionalText("system") ?? "", "system");
        int index = 0;
        foreach (JsonElement message in messages.EnumerateArray())
        {
            string place = $"{field}[{index++}]";
            if (message.ValueKind != JsonValueKind.Object)
                throw JsonFields.WrongType(place, "an object", message);
            string role = message.OptionalText("role") ?? message.OptionalText("from")
                ?? throw new LineRejectedException(RejectReasons.MissingField, $"{place} has no \"role\" or \"from\"");
            string content = message.OptionalText("content") ?? message.OptionalText("value")
                ?? throw new LineRejectedException(RejectReasons.MissingField, $"{place} has no \"content\" or \"value\"");
            turns.Add(SideOf(role, place), content, place);
        }

        return turns.Finish(line.OptionalText("tools"));
    }

    private static Conversation FromAlpaca(JsonElement line)
    {
        var turns = new Turns();
        turns.Add(Side.System, line.OptionalText("system") ?? "", "system");
        if (line.Has("history"))
        {
            JsonElement history = line.GetProperty("history");
            if (history.ValueKind != JsonValueKind.Array)
                throw JsonFields.WrongType("history", "an array", history);
            foreach (JsonElement pair in history.EnumerateArray())
            {
                if (pair.ValueKind != JsonValueKind.Array || pair.GetArrayLength() != 2 || pair.EnumerateArray().Any(p => p.ValueKind != JsonValueKind.String))
                    throw JsonFields.WrongType("history", "an array of pairs of strings", pair);
                turns.Add(Side.User, pair[0].GetString()!, "history");
                turns.Add(Side.Assistant, pair[1].GetString()!, "history");
            }
        }

        string instruction = line.RequiredText("instruction");
        string input = line.OptionalText("input") ?? "";
        turns.Add(Side.User, input.Length > 0 ? $"{instruction}\n{input}" : instruction, "instruction");
        turns.Add(Side.Assistant, line.RequiredText("output"), "output");
        return turns.Finish(tools: null);
    }

    private static Side SideOf(string role, string place) => role switch
    {
        "system" => Side.System,
        "user" or "human" or "tool" or "observation" or "function_response" => Side.User,
        "assistant" or "gpt" or "function_call" => Side.Assistant,
        _ => throw new LineRejectedException(RejectReasons.UnknownRole, $"{place} has the role '{role}'; known are system, user, human, assistant, gpt, tool, observation, function_call, function_response"),
    };

    private sealed class Turns
    {
        private readonly List<(Side Side, string Text)> _turns = [];
        private string _system = "";

        public void Add(Side side, string content, string place)
        {
            string text = content.Trim();
            if (side == Side.System)
            {
                if (_turns.Count > 0)
                    throw new LineRejectedException(RejectReasons.TurnOrder, $"{place}: a system message comes after a turn");
                _system = Join(_system, text);
                return;
            }

            if (text.Length == 0)
                throw new LineRejectedException(RejectReasons.EmptyText, $"{place} is empty");
            if (_turns.Count == 0 && side == Side.Assistant)
                throw new LineRejectedException(RejectReasons.TurnOrder, $"{place}: the assistant speaks before the user");
            if (_turns.Count > 0 && _turns[^1].Side == side)
                _turns[^1] = (side, Join(_turns[^1].Text, text));
            else
                _turns.Add((side, text));
        }

        public Conversation Finish(string? tools)
        {
            if (_turns.Count < 2)
                throw new LineRejectedException(RejectReasons.NoAssistantTurn, "the assistant says nothing");
            if (!string.IsNullOrWhiteSpace(tools) && tools.Trim() != "[]")
                _system = Join(_system, "Tools: " + tools.Trim());
            // Neighbours of one side are joined, so the sides alternate from the user on.
            IEnumerable<Exchange> exchanges = _turns.Chunk(2).Select(c => new Exchange(c[0].Text, c.Length > 1 ? c[1].Text : null));
            return new Conversation(_system, [.. exchanges]);
        }

        private static string Join(string a, string b) => a.Length == 0 ? b : b.Length == 0 ? a : $"{a}\n{b}";
    }
}
