using Drover.DataPrep.Lines;
using Drover.Errors;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Building;

/// <summary>Checks a spec before anything is done: every wrong field is named, all at once.</summary>
internal sealed class SpecChecker(IObjectStore store)
{
    /// <summary>Input bytes of a task when the spec says nothing.</summary>
    public const long DefaultTaskBytes = 64 << 20;

    /// <summary>Keeps a shard far below the 2 GiB that a reader can map.</summary>
    public const long MaxTaskBytes = 128 << 20;

    private const int LongestName = 100;
    private const int LongestRow = 1 << 20;
    private static readonly string[] Extensions = [".jsonl", ".ndjson", ".json"];

    /// <summary>Refuses a spec that no state of the store could satisfy, then one whose tokenizer or sources are not there.</summary>
    /// <returns>The keys of the source files, in the order they are read.</returns>
    /// <exception cref="DroverException">InvalidArgument or NotFound.</exception>
    public async Task<IReadOnlyList<string>> CheckAsync(DatasetSpec spec, CancellationToken cancellation)
    {
        List<string> wrong = [.. Malformed(spec)];
        if (wrong.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_DATASET_SPEC", $"The dataset spec is not valid: {string.Join("; ", wrong)}.");

        var missing = new List<string>();
        if (!await HasTokenizerAsync(spec.Tokenizer, cancellation).ConfigureAwait(false))
            missing.Add($"tokenizer: there is no tokenizer at '{spec.Tokenizer}' (neither tokenizer.json nor tokenizer.model)");
        var files = new List<string>();
        for (int i = 0; i < spec.Sources.Count; i++)
        {
            List<string> found = await ResolveAsync(spec.Sources[i], cancellation).ConfigureAwait(false);
            if (found.Count == 0)
                missing.Add($"sources[{i}]: there is no object '{spec.Sources[i]}', and no {string.Join(", ", Extensions)} file under it");
            files.AddRange(found);
        }

        if (missing.Count > 0)
            throw new DroverException(FailureCode.NotFound, "DATASET_INPUT_NOT_FOUND", $"The dataset cannot be built: {string.Join("; ", missing)}.");
        string? twice = files.GroupBy(f => f, StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1)?.Key;
        return twice is null
            ? files
            : throw new DroverException(FailureCode.InvalidArgument, "INVALID_DATASET_SPEC", $"The dataset spec is not valid: sources name '{twice}' twice.");
    }

    private static IEnumerable<string> Malformed(DatasetSpec spec)
    {
        if (spec.Name.Length is 0 or > LongestName || spec.Name[0] == '.' || !IsKey(spec.Name) || spec.Name.Contains('/', StringComparison.Ordinal))
            yield return $"name: '{spec.Name}' is not 1 to {LongestName} letters, digits, dots, dashes or underscores, not beginning with a dot";
        if (!IsKey(spec.Tokenizer))
            yield return $"tokenizer: '{spec.Tokenizer}' is not a reference like tokenizers/<name> or models/<name>";
        if (spec.Sources.Count == 0)
            yield return "sources: there is none";
        for (int i = 0; i < spec.Sources.Count; i++)
        {
            if (!IsKey(spec.Sources[i].TrimEnd('/')))
                yield return $"sources[{i}]: '{spec.Sources[i]}' is not an object-store key or prefix";
        }

        if (spec.Format is not (DatasetFormat.Pretrain or DatasetFormat.Sft))
            yield return "format: it must be pretrain or sft";
        if (spec.MaxLength is < 2 or > LongestRow)
            yield return $"max_length: it is {spec.MaxLength}, and must be 2 to {LongestRow}";
        if (spec.ConversationTemplate.Length > 0 && !ConversationTemplate.All.ContainsKey(spec.ConversationTemplate))
            yield return $"conversation_template: '{spec.ConversationTemplate}' is not known; known are {string.Join(", ", ConversationTemplate.All.Keys)}";
        if (spec.TaskBytes is < 0 or > MaxTaskBytes)
            yield return $"task_bytes: it is {spec.TaskBytes}, and must be 1 to {MaxTaskBytes}, or 0 for {DefaultTaskBytes}";
    }

    private static bool IsKey(string text)
    {
        try
        {
            ObjectKey.Check(text);
            return true;
        }
        catch (DroverException)
        {
            return false;
        }
    }

    private async Task<bool> HasTokenizerAsync(string prefix, CancellationToken cancellation) =>
        await store.FindAsync(ObjectKey.Join(prefix, "tokenizer.json"), cancellation).ConfigureAwait(false) is not null
        || await store.FindAsync(ObjectKey.Join(prefix, "tokenizer.model"), cancellation).ConfigureAwait(false) is not null;

    private async Task<List<string>> ResolveAsync(string source, CancellationToken cancellation)
    {
        string key = source.TrimEnd('/');
        if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is not null)
            return [key];
        var files = new List<string>();
        await foreach (ObjectInfo info in store.ListAsync(key + "/", cancellation).ConfigureAwait(false))
        {
            if (Extensions.Any(e => info.Key.EndsWith(e, StringComparison.OrdinalIgnoreCase)))
                files.Add(info.Key);
        }

        return files;
    }
}
