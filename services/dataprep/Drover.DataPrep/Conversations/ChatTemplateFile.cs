using System.Text.Json;
using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.DataPrep.Conversations;

/// <summary>Where a tokenizer's folder keeps its chat template: chat_template.jinja, else "chat_template" of tokenizer_config.json.</summary>
internal static class ChatTemplateFile
{
    /// <summary>The template's text; of several, the one named "default".</summary>
    /// <exception cref="DroverException">FailedPrecondition where there is none.</exception>
    public static async Task<string> ReadAsync(IObjectStore store, string tokenizer, CancellationToken cancellation)
    {
        string file = ObjectKey.Join(tokenizer, "chat_template.jinja");
        if (await store.FindAsync(file, cancellation).ConfigureAwait(false) is not null)
            return await store.ReadTextAsync(file, cancellation).ConfigureAwait(false);
        string config = ObjectKey.Join(tokenizer, "tokenizer_config.json");
        if (await store.FindAsync(config, cancellation).ConfigureAwait(false) is not null && TextOf(await store.ReadAllBytesAsync(config, cancellation).ConfigureAwait(false), config) is { } text)
            return text;
        throw new DroverException(FailureCode.FailedPrecondition, "NO_CHAT_TEMPLATE", $"The tokenizer '{tokenizer}' has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json). Choose one by name: {string.Join(", ", ConversationTemplates.Names)}.");
    }

    private static string? TextOf(byte[] config, string key)
    {
        try
        {
            using var json = JsonDocument.Parse(config);
            if (!json.RootElement.TryGetProperty("chat_template", out JsonElement template))
                return null;
            if (template.ValueKind == JsonValueKind.String)
                return template.GetString();
            return template.ValueKind != JsonValueKind.Array ? null : template.EnumerateArray()
                .Where(t => t.TryGetProperty("name", out JsonElement name) && name.ValueEquals("default"))
                .Select(t => t.GetProperty("template").GetString()).FirstOrDefault();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw new DroverException(FailureCode.DataLoss, "DAMAGED_TOKENIZER_CONFIG", $"'{key}' is damaged: {e.Message}", e);
        }
    }
}
