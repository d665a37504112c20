using System.Text;
using System.Text.Json;
using Drover.Errors;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;

namespace Drover.Tokenizer;

/// <summary>Texts of JSONL in the object store: "text", or "source" and "target", or the contents of "messages".</summary>
internal static class CorpusReader
{
    private const int BatchCharacters = 8 << 20;

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

    /// <summary>Reads all documents of sources, some megabytes at a time: what is used does not grow with the sources.</summary>
    /// <param name="job">Told how far it is, and of lines without text.</param>
    /// <param name="store">Where the sources lie.</param>
    /// <param name="sources">Keys or prefixes.</param>
    /// <param name="use">Given documents of one file, each by the number it has among all.</param>
    /// <param name="cancellation">Stops reading.</param>
    /// <exception cref="DroverException">FailedPrecondition when no line holds text.</exception>
    public static async Task ReadAsync(JobContext job, IObjectStore store, IEnumerable<string> sources, Action<string, List<CorpusDocument>> use, CancellationToken cancellation)
    {
        var files = new List<ObjectInfo>();
        foreach (string source in sources)
            files.AddRange(await FilesOfAsync(store, source, cancellation).ConfigureAwait(false));
        long total = files.Sum(f => f.Size);
        long done = 0;
        long documents = 0;
        foreach (ObjectInfo file in files)
        {
            long bad = 0;
            int characters = 0;
            List<CorpusDocument> batch = [];
            Stream stream = await store.OpenReadAsync(file.Key, 0, null, cancellation).ConfigureAwait(false);
            using var reader = new StreamReader(stream, Encoding.UTF8);
            while (await reader.ReadLineAsync(cancellation).ConfigureAwait(false) is { } line)
            {
                done += Encoding.UTF8.GetByteCount(line) + 1;
                if (string.IsNullOrWhiteSpace(line))
                    continue;
                IReadOnlyList<string>? texts = TextsOf(line);
                if (texts is null)
                {
                    bad++;
                    continue;
                }

                batch.Add(new CorpusDocument(documents++, texts));
                characters += line.Length;
                if (characters < BatchCharacters)
                    continue;
                use(file.Key, batch);
                (batch, characters) = ([], 0);
                job.Report("reading", Math.Min(done, total), total, "bytes");
            }

            use(file.Key, batch);
            job.Report("reading", Math.Min(done, total), total, "bytes");
            if (bad > 0)
                job.Log(LogLine.Types.Severity.Warning, $"{bad} lines of '{file.Key}' hold no text (\"text\", \"source\" and \"target\", or \"messages\") and were left out.");
        }

        if (documents == 0)
            throw new DroverException(FailureCode.FailedPrecondition, "NO_TEXT", $"No line of {string.Join(", ", files.Select(f => $"'{f.Key}'"))} holds text: expected JSONL with \"text\", \"source\" and \"target\", or \"messages\".");
    }

    /// <summary>The texts of a line, or null when it is not a document.</summary>
    private static List<string>? TextsOf(string line)
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
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null; // not JSON, or half of a surrogate pair
        }
    }

    private static void AddText(JsonElement element, string name, List<string> texts)
    {
        if (element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String && value.GetString() is { Length: > 0 } text)
            texts.Add(text);
    }
}

/// <summary>A line of a corpus.</summary>
/// <param name="Number">Its place among all documents, from 0.</param>
/// <param name="Texts">Its texts.</param>
internal sealed record CorpusDocument(long Number, IReadOnlyList<string> Texts);
