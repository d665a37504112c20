using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Drover.ChatTemplates;
using Drover.DataPrep.Documents;
using Drover.Errors;
using Drover.Tokenization;

namespace Drover.DataPrep.Conversations;

/// <summary>
/// Writes conversations by the chat template that a tokenizer brings along, as transformers' apply_chat_template does: names of special
/// tokens in the text are those tokens. What the assistant says is what the template marks with <c>{% generation %}</c>; where it marks
/// nothing, what a turn adds to the text before it with the assistant's turn opened.
/// </summary>
internal sealed class OwnTemplate
{
    private static readonly JsonSerializerOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private readonly ChatTemplate _template;
    private readonly Dictionary<string, JsonElement> _variables = [];
    private readonly Regex _specialTokens;

    /// <summary>Reads the template.</summary>
    /// <exception cref="DroverException">InvalidArgument naming the line.</exception>
    public OwnTemplate(string template, ITextTokenizer tokenizer)
    {
        _template = ChatTemplate.Parse(template);
        Add("bos_token", tokenizer, tokenizer.BosId);
        Add("eos_token", tokenizer, tokenizer.EosId);
        Add("pad_token", tokenizer, tokenizer.PadId);
        Add("unk_token", tokenizer, tokenizer.UnkId);
        IEnumerable<string> names = Enumerable.Range(0, tokenizer.VocabularySize).Where(tokenizer.IsSpecial).Select(tokenizer.PieceOf).Where(n => n.Length > 0);
        _specialTokens = new Regex(string.Join('|', names.OrderByDescending(n => n.Length).Select(Regex.Escape).DefaultIfEmpty("(?!)")), RegexOptions.CultureInvariant);
    }

    /// <summary>Writes a conversation.</summary>
    /// <exception cref="RejectedException">The template refuses it, or does not say which part is the assistant's.</exception>
    public IEnumerable<TemplatePart> Write(Conversation conversation)
    {
        RenderedChat whole = Render(conversation, conversation.Turns.Count, isOpened: false);
        List<(int Start, int End)> answers = whole.Generated.Count > 0 ? [.. whole.Generated] : Answers(conversation, whole.Text);
        return Parts(whole.Text, answers);
    }

    private void Add(string name, ITextTokenizer tokenizer, int id)
    {
        if (id >= 0)
            _variables[name] = JsonSerializer.SerializeToElement(tokenizer.PieceOf(id));
    }

    private List<(int Start, int End)> Answers(Conversation conversation, string whole)
    {
        var answers = new List<(int, int)>();
        for (int turn = 0; turn < conversation.Turns.Count; turn++)
        {
            if (conversation.Turns[turn].Role != TurnRole.Assistant)
                continue;
            string before = Render(conversation, turn, isOpened: true).Text;
            string after = Render(conversation, turn + 1, isOpened: false).Text;
            if (!after.StartsWith(before, StringComparison.Ordinal) || !whole.StartsWith(after, StringComparison.Ordinal))
                throw new RejectedException(RejectReasons.TemplateRefused, $"the chat template writes turn {turn} otherwise when more turns follow, so that it cannot be told which part is the assistant's; mark it with {{% generation %}}");
            answers.Add((before.Length, after.Length));
        }

        return answers;
    }

    private RenderedChat Render(Conversation conversation, int turns, bool isOpened)
    {
        var messages = new JsonArray([.. conversation.Turns.Take(turns).Select(t => new JsonObject { ["role"] = NameOf(t.Role), ["content"] = t.Text })]);
        var variables = new Dictionary<string, JsonElement>(_variables);
        if (conversation.Tools.Length > 0)
            variables["tools"] = Tools(conversation.Tools);
        try
        {
            return _template.Render(messages.Deserialize<JsonElement>(Plain), isOpened, variables, CancellationToken.None);
        }
        catch (DroverException e) when (e.Code == FailureCode.InvalidArgument)
        {
            throw new RejectedException(RejectReasons.TemplateRefused, e.Message);
        }
    }

    private static JsonElement Tools(string text)
    {
        try
        {
            return JsonSerializer.Deserialize<JsonElement>(text);
        }
        catch (JsonException e)
        {
            throw new RejectedException(RejectReasons.MalformedJson, $"the tools are no JSON: {e.Message}");
        }
    }

    private static string NameOf(TurnRole role) => role switch
    {
        TurnRole.System => "system",
        TurnRole.Assistant => "assistant",
        TurnRole.Tool => "tool",
        _ => "user",
    };

    private IEnumerable<TemplatePart> Parts(string text, List<(int Start, int End)> answers)
    {
        int at = 0;
        foreach (Match token in _specialTokens.Matches(text))
        {
            foreach (TemplatePart part in Texts(text, at, token.Index, answers))
                yield return part;
            int answer = answers.FindIndex(a => a.Start <= token.Index && token.Index < a.End);
            yield return TemplatePart.Token(token.Value, answer);
            at = token.Index + token.Length;
        }

        foreach (TemplatePart part in Texts(text, at, text.Length, answers))
            yield return part;
    }

    // Text between special tokens, cut where an answer begins or ends.
    private static IEnumerable<TemplatePart> Texts(string text, int start, int end, List<(int Start, int End)> answers)
    {
        while (start < end)
        {
            int answer = answers.FindIndex(a => a.Start <= start && start < a.End);
            int next = answer >= 0 ? answers[answer].End : answers.Where(a => a.Start > start).Select(a => a.Start).DefaultIfEmpty(end).Min();
            next = Math.Min(next, end);
            yield return TemplatePart.Of(text[start..next], answer);
            start = next;
        }
    }
}
