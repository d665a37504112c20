using System.Text;
using System.Text.RegularExpressions;
using Drover.DataPrep.Conversations;
using Drover.DataPrep.Quality;
using Drover.DataPrep.Sources;
using Drover.Errors;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Building;

/// <summary>Checks a spec before anything is done: every wrong field is named, all at once.</summary>
internal sealed class SpecChecker(IObjectStore store)
{
    /// <summary>Keeps what one task loses when its worker dies small.</summary>
    public const long MaxTaskBytes = 1L << 30;

    private const int LongestName = 100;
    private const int LongestRow = 1 << 20;

    /// <summary>Refuses a spec that no state of the store could satisfy, then one whose tokenizer or sources are not there.</summary>
    /// <returns>The source files, in the order they are read.</returns>
    /// <exception cref="DroverException">InvalidArgument or NotFound.</exception>
    public async Task<IReadOnlyList<ObjectInfo>> CheckAsync(DatasetSpec spec, CancellationToken cancellation)
    {
        List<string> wrong = [.. Malformed(spec), .. WrongOptions(spec)];
        if (wrong.Count > 0)
            throw Invalid(string.Join("; ", wrong));

        var missing = new List<string>();
        if (!await HasTokenizerAsync(spec.Tokenizer, cancellation).ConfigureAwait(false))
            missing.Add($"tokenizer: there is no tokenizer at '{spec.Tokenizer}' (neither tokenizer.json nor tokenizer.model)");
        var files = new List<ObjectInfo>();
        for (int i = 0; i < spec.Sources.Count; i++)
        {
            List<ObjectInfo> found = await ResolveAsync(spec.Sources[i], cancellation).ConfigureAwait(false);
            if (found.Count == 0)
                missing.Add($"sources[{i}]: '{spec.Sources[i]}' names no object, and no file {SourceFormat.Extensions} lies under it");
            files.AddRange(found);
        }

        if (missing.Count > 0)
            throw new DroverException(FailureCode.NotFound, "DATASET_INPUT_NOT_FOUND", $"The dataset cannot be built: {string.Join("; ", missing)}.");
        string[] unknown = [.. files.Where(f => SourceFormat.Of(f.Key) is null).Select(f => $"'{f.Key}'")];
        if (unknown.Length > 0)
            throw Invalid($"sources: {string.Join(", ", unknown)}: a file must end in {SourceFormat.Extensions}");
        string? twice = files.GroupBy(f => f.Key, StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1)?.Key;
        return twice is null ? files : throw Invalid($"sources name '{twice}' twice");
    }

    private static DroverException Invalid(string what) => new(FailureCode.InvalidArgument, "INVALID_DATASET_SPEC", $"The dataset spec is not valid: {what}.");

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
            if (!IsKey(spec.Sources[i].TrimEnd('/').Replace('*', 'x').Replace('?', 'x')))
                yield return $"sources[{i}]: '{spec.Sources[i]}' is not an object-store key, prefix or glob";
        }

        if (spec.Format is not (DatasetFormat.Pretrain or DatasetFormat.Sft))
            yield return "format: it must be pretrain or sft";
        if (spec.MaxLength is < 2 or > LongestRow)
            yield return $"max_length: it is {spec.MaxLength}, and must be 2 to {LongestRow}";
        if (spec.ConversationTemplate.Length > 0 && !ConversationTemplates.Names.Contains(spec.ConversationTemplate))
            yield return $"conversation_template: '{spec.ConversationTemplate}' is not known; known are {string.Join(", ", ConversationTemplates.Names)}";
        if (spec.TaskBytes is < 0 or > MaxTaskBytes)
            yield return $"task_bytes: it is {spec.TaskBytes}, and must be 1 to {MaxTaskBytes}, or 0 for {DatasetSpecs.DefaultTaskBytes}";
        if (spec.Extends.Length > 0 && (!IsKey(spec.Extends) || spec.Extends == $"datasets/{spec.Name}"))
            yield return $"extends: '{spec.Extends}' is not a reference like datasets/<name> of another dataset";
    }

    private static IEnumerable<string> WrongOptions(DatasetSpec spec)
    {
        bool isSft = spec.Format == DatasetFormat.Sft;
        if (!isSft && spec.LossOn != LossOn.Unspecified)
            yield return "loss_on: only conversations (format sft) have turns";
        if (!isSft && spec.Truncation != Truncation.Unspecified)
            yield return "truncation: only conversations (format sft) are cut; documents go on in another row";
        if (isSft && (spec.Bos != EdgeToken.Unspecified || spec.Eos != EdgeToken.Unspecified))
            yield return "bos, eos: of conversations (format sft) the template says where they stand";
        if (spec.Packing == Packing.Seed && (isSft || spec.Extends.Length > 0 || spec.Deduplication is { Exact: true } or { NearThreshold: > 0 }))
            yield return "packing: seed is for pretraining alone, and neither extends nor deduplicates";
        if (spec.NumSplicedDatasetBins is < 0 or > 100 || (spec.NumSplicedDatasetBins > 0 && spec.Packing != Packing.Seed))
            yield return $"num_spliced_dataset_bins: it is {spec.NumSplicedDatasetBins}, and must be 1 to 100, with packing seed, or 0 for {DatasetSpecs.DefaultBins}";
        if (spec.Deduplication is { NearThreshold: not 0 and (< 0.3 or > 1 or double.NaN) } duplicates)
            yield return $"deduplication.near_threshold: it is {duplicates.NearThreshold}, and must be 0.3 to 1, or 0 for none";
        if (spec.Filters is not { } filters)
            yield break;
        if (filters.MinCharacters < 0 || filters.MaxCharacters < 0 || (filters.MaxCharacters > 0 && filters.MaxCharacters < filters.MinCharacters))
            yield return $"filters: min_characters {filters.MinCharacters} and max_characters {filters.MaxCharacters} leave nothing";
        foreach ((string name, double ratio) in new[] { ("min_word_character_ratio", filters.MinWordCharacterRatio), ("max_digit_ratio", filters.MaxDigitRatio), ("max_repeated_line_ratio", filters.MaxRepeatedLineRatio) })
        {
            if (ratio is not (>= 0 and <= 1))
                yield return $"filters.{name}: it is {ratio}, and must be 0 to 1";
        }

        foreach (string language in filters.Languages.Where(l => !Language.All.Contains(l)))
            yield return $"filters.languages: '{language}' is not known; known are {string.Join(", ", Language.All)}";
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

    private async Task<List<ObjectInfo>> ResolveAsync(string source, CancellationToken cancellation)
    {
        int wildcard = source.IndexOfAny(['*', '?']);
        string key = source.TrimEnd('/');
        if (wildcard < 0 && await store.FindAsync(key, cancellation).ConfigureAwait(false) is { } one)
            return [one];
        Regex? glob = wildcard < 0 ? null : Glob(source);
        var files = new List<ObjectInfo>();
        await foreach (ObjectInfo info in store.ListAsync(wildcard < 0 ? key + "/" : source[..wildcard], cancellation).ConfigureAwait(false))
        {
            if (SourceFormat.Of(info.Key) is not null && (glob is null || glob.IsMatch(info.Key)))
                files.Add(info);
        }

        return files;
    }

    private static Regex Glob(string pattern)
    {
        var regex = new StringBuilder(@"\A");
        for (int i = 0; i < pattern.Length; i++)
        {
            bool isDouble = pattern[i] == '*' && i + 1 < pattern.Length && pattern[i + 1] == '*';
            if (isDouble && i + 2 < pattern.Length && pattern[i + 2] == '/')
            {
                // "**/" stands for no folder, too.
                regex.Append("(.*/)?");
                i += 2;
            }
            else
            {
                regex.Append(isDouble ? ".*" : pattern[i] switch { '*' => "[^/]*", '?' => "[^/]", _ => Regex.Escape(pattern[i].ToString()) });
                i += isDouble ? 1 : 0;
            }
        }

        return new Regex(regex.Append(@"\z").ToString(), RegexOptions.CultureInvariant, TimeSpan.FromSeconds(1));
    }
}
