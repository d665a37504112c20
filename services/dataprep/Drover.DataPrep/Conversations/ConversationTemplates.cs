namespace Drover.DataPrep.Conversations;

/// <summary>Writes a conversation down.</summary>
internal delegate IEnumerable<TemplatePart> ConversationTemplate(Conversation conversation);

/// <summary>The ways to write a conversation down, by the names that specs use.</summary>
internal static class ConversationTemplates
{
    /// <summary>The one that is used when a spec names none.</summary>
    public const string Default = "llama2";

    // What Colossal-LLaMA puts before conversations (colossal_llama/dataset/conversation.py).
    private const string ColossalSystem = "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the human's questions.\n\n";

    private static readonly Dictionary<string, ConversationTemplate> All = new(StringComparer.Ordinal)
    {
        ["llama2"] = Llama2,
        ["llama3"] = Llama3,
        ["chatml"] = ChatMl,
        ["colossal-llama2"] = c => Colossal(c, TemplatePart.Bos, TemplatePart.Eos),
        ["colossal-llama3"] = c => Colossal(c, a => TemplatePart.Token("<|begin_of_text|>", a), a => TemplatePart.Token("<|end_of_text|>", a)),
        ["plain"] = Plain,
    };

    /// <summary>The name that stands for the tokenizer's own chat template, see <see cref="OwnTemplate"/>.</summary>
    public const string Own = "tokenizer";

    /// <summary>All names.</summary>
    public static IReadOnlyCollection<string> Names { get; } = [.. All.Keys, Own];

    /// <summary>The template of a known name.</summary>
    public static ConversationTemplate Get(string name) => All[name];

    /// <summary>Special tokens that the template cannot do without.</summary>
    public static IReadOnlyList<string> RequiredTokens(string name) => name switch
    {
        "llama3" => ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        "colossal-llama3" => ["<|begin_of_text|>", "<|end_of_text|>"],
        _ => [],
    };

    // As Meta's llama repository and the model's chat template write dialogs: each exchange is "BOS [INST] user [/INST] answer EOS".
    private static IEnumerable<TemplatePart> Llama2(Conversation conversation)
    {
        string system = conversation.SystemText();
        foreach (Exchange exchange in conversation.Exchanges())
        {
            string user = exchange.Index == 0 && system.Length > 0 ? $"<<SYS>>\n{system}\n<</SYS>>\n\n{exchange.User}".Trim() : exchange.User;
            yield return TemplatePart.Bos();
            yield return TemplatePart.Of($"[INST] {user} [/INST]");
            if (exchange.Assistant is null)
                continue;
            yield return TemplatePart.Of($" {exchange.Assistant} ", exchange.Index);
            yield return TemplatePart.Eos(exchange.Index);
        }
    }

    // As the chat template of Llama-3-Instruct.
    private static IEnumerable<TemplatePart> Llama3(Conversation conversation)
    {
        yield return TemplatePart.Token("<|begin_of_text|>");
        int answer = 0;
        foreach ((string role, string text, bool isAnswer) in Messages(conversation, "ipython"))
        {
            int by = isAnswer ? answer++ : -1;
            yield return TemplatePart.Token("<|start_header_id|>");
            yield return TemplatePart.Of(role);
            yield return TemplatePart.Token("<|end_header_id|>");
            yield return TemplatePart.Of("\n\n");
            yield return TemplatePart.Of(text.Trim(), by);
            yield return TemplatePart.Token("<|eot_id|>", by);
        }
    }

    private static IEnumerable<TemplatePart> ChatMl(Conversation conversation)
    {
        int answer = 0;
        foreach ((string role, string text, bool isAnswer) in Messages(conversation, "tool"))
        {
            int by = isAnswer ? answer++ : -1;
            yield return TemplatePart.Token("<|im_start|>");
            yield return TemplatePart.Of($"{role}\n");
            yield return TemplatePart.Of(text, by);
            yield return TemplatePart.Token("<|im_end|>", by);
            yield return TemplatePart.Of("\n");
        }
    }

    // As Colossal-LLaMA writes them, with a BOS before the whole; an unanswered question at the end is left out, as there.
    private static IEnumerable<TemplatePart> Colossal(Conversation conversation, Func<int, TemplatePart> bos, Func<int, TemplatePart> eos)
    {
        string system = conversation.SystemText();
        yield return bos(-1);
        yield return TemplatePart.Of(system.Length > 0 ? $"{system.Trim()}\n\n" : ColossalSystem);
        foreach (Exchange exchange in conversation.Exchanges().Where(e => e.Assistant is not null))
        {
            yield return TemplatePart.Of("Human: ");
            yield return bos(-1);
            yield return TemplatePart.Of(exchange.User);
            yield return eos(-1);
            yield return TemplatePart.Of("Assistant: ");
            yield return bos(exchange.Index);
            yield return TemplatePart.Of(exchange.Assistant!, exchange.Index);
            yield return eos(exchange.Index);
        }
    }

    // For a tokenizer of any family: readable lines.
    private static IEnumerable<TemplatePart> Plain(Conversation conversation)
    {
        string system = conversation.SystemText();
        yield return TemplatePart.Bos();
        foreach (Exchange exchange in conversation.Exchanges())
        {
            yield return TemplatePart.Of(exchange.Index == 0 && system.Length > 0 ? $"System: {system}\nUser: {exchange.User}\nAssistant:" : $"User: {exchange.User}\nAssistant:");
            if (exchange.Assistant is null)
                continue;
            yield return TemplatePart.Of($" {exchange.Assistant}", exchange.Index);
            yield return TemplatePart.Eos(exchange.Index);
        }
    }

    // System texts and tools are one message, as templates expect.
    private static IEnumerable<(string Role, string Text, bool IsAnswer)> Messages(Conversation conversation, string tool)
    {
        string system = conversation.SystemText();
        if (system.Length > 0)
            yield return ("system", system, false);
        foreach (Turn turn in conversation.Turns.Where(t => t.Role != TurnRole.System))
        {
            yield return turn.Role switch
            {
                TurnRole.Assistant => ("assistant", turn.Text, true),
                TurnRole.Tool => (tool, turn.Text, false),
                _ => ("user", turn.Text, false),
            };
        }
    }
}
