using System.Text.Json;
using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Tokenizer;

/// <summary>Texts of JSONL in the object store: "text", or "source" and "target", or the contents of "messages".</summary>
internal static class CorpusReader
{
    /// <summary>The files that a source names: itself, or every .jsonl object under it.</summary>
    /// <exception cref="DroverException">NotFound when there is none.</exception>
    public static async Task<IReadOnlyList<ObjectInfo>> FilesOfAsync(IObjectStore store, string source, CancellationToken cancellation)
    {
        ObjectKey.Check(source);
        if (await store.FindAsync(source, cancellation).ConfigureAwait(false) is { } file)
            return [file];
        var files = new List<ObjectInfo>();
        await foreach (ObjectInfo info in store.ListAsync(source + "/", cancellation).ConfigureAwait(false))
        {
            if (info.Key.EndsWith(".jsonl", StringComparison.Ordinal))
                files.Add(info);
        }

        return files.Count > 0
            ? files
            : throw new DroverException(FailureCode.NotFound, "SOURCE_NOT_FOUND", $"There is no object '{source}' in the store, and no .jsonl object under it.");
    }

    /// <summary>The texts of a line, or null when it is not a document.</summary>
    public static IReadOnlyList<string>? TextsOf(string line)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
                return null;
            var texts = new List<string>();
            foreach (string name in (string[])["text", "source", "target"])
                AddText(root, name, texts);
            foreach (string list in (string[])["messages", "conversations"])
            {
                if (!root.TryGetProperty(list, out JsonElement messages) || messages.ValueKind != JsonValueKind.Array)
                    continue;
                foreach (JsonElement message in messages.EnumerateArray().Where(m => m.ValueKind == JsonValueKind.Object))
                {
                    AddText(message, "content", texts);
                    AddText(message, "value", texts);
                }
            }

            return texts.Count > 0 ? texts : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static void AddText(JsonElement element, string name, List<string> texts)
    {
        if (element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String && value.GetString() is { Length: > 0 } text)
            texts.Add(text);
    }
}
