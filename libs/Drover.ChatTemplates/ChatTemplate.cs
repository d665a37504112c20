using System.Text.Json;
using Drover.Errors;

namespace Drover.ChatTemplates;

/// <summary>
/// A chat template as Hugging Face tokenizers carry one: Jinja2 with the settings, filters and functions of transformers' apply_chat_template,
/// which it is held against. Immutable and safe to use from many threads.
/// </summary>
public sealed class ChatTemplate
{
    private readonly IReadOnlyList<Statement> _statements;
    private readonly TimeProvider _time;

    private ChatTemplate(IReadOnlyList<Statement> statements, TimeProvider time)
    {
        _statements = statements;
        _time = time;
    }

    /// <summary>Reads a template.</summary>
    /// <param name="template">Its text.</param>
    /// <param name="time">The clock of strftime_now; null for the machine's.</param>
    /// <exception cref="DroverException">InvalidArgument naming the line.</exception>
    public static ChatTemplate Parse(string template, TimeProvider? time = null)
    {
        try
        {
            return new ChatTemplate(Parser.Parse(template), time ?? TimeProvider.System);
        }
        catch (TemplateException e)
        {
            throw new DroverException(FailureCode.InvalidArgument, "MALFORMED_CHAT_TEMPLATE", $"The chat template cannot be read: line {e.Line}: {e.Message}.", e);
        }
    }

    /// <summary>Writes a conversation.</summary>
    /// <param name="messages">A JSON array of messages, as transformers takes them.</param>
    /// <param name="addGenerationPrompt">Whether the assistant's turn is opened at the end.</param>
    /// <param name="variables">More names that the template sees, e.g. bos_token, eos_token, tools; values that are JSON.</param>
    /// <param name="cancellation">Stops a template that runs on.</param>
    /// <exception cref="DroverException">
    /// InvalidArgument when the template refuses the messages (raise_exception, with its own words) or cannot be run with them.
    /// </exception>
    public RenderedChat Render(JsonElement messages, bool addGenerationPrompt, IReadOnlyDictionary<string, JsonElement>? variables, CancellationToken cancellation)
    {
        var scope = new Scope(null);
        Globals.Add(scope, _time);
        scope.Set("tools", null);
        scope.Set("documents", null);
        foreach ((string name, JsonElement value) in variables ?? new Dictionary<string, JsonElement>())
            scope.Set(name, JsonText.Read(value));
        scope.Set("messages", JsonText.Read(messages));
        scope.Set("add_generation_prompt", addGenerationPrompt);
        try
        {
            (string text, IReadOnlyList<(int Start, int End)> generated) = new Interpreter(cancellation).Run(_statements, scope);
            return new RenderedChat(text, generated);
        }
        catch (TemplateRefusal e)
        {
            throw new DroverException(FailureCode.InvalidArgument, "CHAT_TEMPLATE_REFUSED", $"The chat template refuses these messages: {e.Message}", e);
        }
        catch (TemplateException e)
        {
            throw new DroverException(FailureCode.InvalidArgument, "CHAT_TEMPLATE_FAILED", $"The chat template cannot write these messages: line {e.Line}: {e.Message}.", e);
        }
        catch (Exception e) when (e is InvalidCastException or ArgumentException or NullReferenceException or OverflowException)
        {
            throw new DroverException(FailureCode.InvalidArgument, "CHAT_TEMPLATE_FAILED", $"The chat template cannot write these messages: {e.Message}", e);
        }
    }
}

/// <summary>A conversation as text.</summary>
/// <param name="Text">What the template wrote, special tokens by their names.</param>
/// <param name="Generated">Stretches (UTF-16, end exclusive) of <c>{% generation %}</c> blocks: what the assistant says, and training learns.</param>
public sealed record RenderedChat(string Text, IReadOnlyList<(int Start, int End)> Generated);
