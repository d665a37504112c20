using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Nodes;
using Drover.ChatTemplates;
using Drover.Errors;
using Drover.ObjectStore;
using Drover.Protocol.Tokenizer.V1;
using Drover.Tokenization;

namespace Drover.Tokenizer;

/// <summary>Writes conversations by the chat templates that lie beside tokenizers; templates are kept by their text.</summary>
internal sealed class ChatRenderer(IObjectStore store, TimeProvider time)
{
    private const int MaxTemplates = 64;
    private const string TemplateFile = "chat_template.jinja";
    private readonly ConcurrentDictionary<string, ChatTemplate> _templates = new(StringComparer.Ordinal);

    public async Task<string> RenderAsync(ApplyChatTemplateRequest request, CancellationToken cancellation)
    {
        JsonObject settings = await SettingsAsync(request.Tokenizer, cancellation).ConfigureAwait(false);
        string template = await FindTemplateAsync(request.Tokenizer, settings, cancellation).ConfigureAwait(false);
        if (_templates.Count > MaxTemplates)
            _templates.Clear();
        ChatTemplate chat = _templates.GetOrAdd(template, text => ChatTemplate.Parse(text, time));
        Dictionary<string, JsonElement> variables = NamesOf(settings);
        if (request.VariablesJson.Length > 0)
        {
            foreach (JsonProperty property in Parse(request.VariablesJson, "variables_json", JsonValueKind.Object).EnumerateObject())
                variables[property.Name] = property.Value;
        }

        return chat.Render(Parse(request.MessagesJson, "messages_json", JsonValueKind.Array), request.AddGenerationPrompt, variables, cancellation).Text;
    }

    private static JsonElement Parse(string json, string field, JsonValueKind kind)
    {
        try
        {
            JsonElement element = JsonElement.Parse(json);
            if (element.ValueKind == kind)
                return element;
        }
        catch (JsonException e)
        {
            throw new DroverException(FailureCode.InvalidArgument, "MALFORMED_JSON", $"{field} is not JSON: {e.Message}", e);
        }

        throw new DroverException(FailureCode.InvalidArgument, "MALFORMED_JSON", $"{field} must be a JSON {kind.ToString().ToLowerInvariant()}.");
    }

    // bos_token and the like, as the template sees them: their texts.
    private static Dictionary<string, JsonElement> NamesOf(JsonObject settings)
    {
        var names = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach ((string key, JsonNode? value) in settings)
        {
            string? text = value is JsonObject token ? (string?)token["content"] : value is JsonValue plain && plain.TryGetValue(out string? given) ? given : null;
            if (key.EndsWith("_token", StringComparison.Ordinal) && text is not null)
                names[key] = JsonSerializer.SerializeToElement(text);
        }

        return names;
    }

    private async Task<JsonObject> SettingsAsync(string tokenizer, CancellationToken cancellation)
    {
        string key = ObjectKey.Join(tokenizer, TokenizerFolder.ConfigFile);
        try
        {
            return await store.FindAsync(key, cancellation).ConfigureAwait(false) is null ? []
                : JsonNode.Parse(await store.ReadTextAsync(key, cancellation).ConfigureAwait(false)) as JsonObject ?? [];
        }
        catch (JsonException e)
        {
            throw new DroverException(FailureCode.DataLoss, "CORRUPT_TOKENIZER_CONFIG", $"'{key}' is not JSON of a tokenizer's settings: {e.Message}", e);
        }
    }

    private async Task<string> FindTemplateAsync(string tokenizer, JsonObject settings, CancellationToken cancellation)
    {
        string key = ObjectKey.Join(tokenizer, TemplateFile);
        if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is not null)
            return await store.ReadTextAsync(key, cancellation).ConfigureAwait(false);
        JsonNode? node = settings["chat_template"];
        // Several templates: the one named "default" is the one for conversations.
        if (node is JsonArray several)
            node = several.OfType<JsonObject>().FirstOrDefault(t => (string?)t["name"] == "default")?["template"];
        return node is JsonValue value && value.TryGetValue(out string? template)
            ? template
            : throw new DroverException(FailureCode.FailedPrecondition, "NO_CHAT_TEMPLATE", $"The tokenizer '{tokenizer}' has no chat template: neither {TemplateFile} nor chat_template in {TokenizerFolder.ConfigFile}.");
    }
}
