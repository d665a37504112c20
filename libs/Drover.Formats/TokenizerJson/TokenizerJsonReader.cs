using System.Text.Json;
using Drover.Errors;

namespace Drover.Formats.TokenizerJson;

/// <summary>
/// Reads <c>tokenizer.json</c> of github.com/huggingface/tokenizers as far as the LLaMA families go: BPE with byte fallback and
/// U+2581 for spaces, or ByteLevel BPE with the pattern of LLaMA-3, Qwen or GPT-2. Everything else is refused by its name.
/// </summary>
public static class TokenizerJsonReader
{
    private const int MaxIds = 4_000_000;

    /// <summary>Reads and checks a file.</summary>
    /// <exception cref="DroverException">DataLoss for damaged bytes, FailedPrecondition naming what is not supported.</exception>
    public static TokenizerJsonModel Parse(ReadOnlyMemory<byte> bytes, string file)
    {
        try
        {
            using var document = JsonDocument.Parse(bytes);
            return Read(document.RootElement, file);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw Corrupt(file, e.Message, e);
        }
    }

    private static TokenizerJsonModel Read(JsonElement root, string file)
    {
        JsonElement model = root.GetProperty("model");
        string type = Text(model, "type") ?? "BPE";
        if (type != "BPE")
            throw Unsupported(file, $"its model is '{type}' and LLaMA's are BPE");
        foreach (string affix in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
        {
            if (!string.IsNullOrEmpty(Text(model, affix)))
                throw Unsupported(file, $"model.{affix} is '{Text(model, affix)}'");
        }

        if (model.TryGetProperty("dropout", out JsonElement dropout) && dropout.ValueKind == JsonValueKind.Number && dropout.GetDouble() > 0)
            throw Unsupported(file, "model.dropout makes ids random");
        bool byteLevel = !(model.TryGetProperty("byte_fallback", out JsonElement fallback) && fallback.ValueKind == JsonValueKind.True);
        WordPattern words = byteLevel ? ReadWords(root, file) : default;
        DummyPrefix prefix = byteLevel ? DummyPrefix.None : ReadPrefix(root, file);
        (string?[] pieces, HashSet<int> special) = ReadPieces(root, model, file);
        return new TokenizerJsonModel
        {
            ByteLevel = byteLevel,
            Pieces = pieces,
            Merges = ReadMerges(model),
            Special = special,
            IgnoreMerges = model.TryGetProperty("ignore_merges", out JsonElement ignore) && ignore.ValueKind == JsonValueKind.True,
            Prefix = prefix,
            Words = words,
            NormalizesToC = byteLevel && Child(root, "normalizer") is not null,
            UnknownToken = Text(model, "unk_token"),
        };
    }

    private static (string?[] Pieces, HashSet<int> Special) ReadPieces(JsonElement root, JsonElement model, string file)
    {
        var byId = new SortedDictionary<int, string>();
        var special = new HashSet<int>();
        foreach (JsonProperty entry in model.GetProperty("vocab").EnumerateObject())
        {
            if (!byId.TryAdd(entry.Value.GetInt32(), entry.Name))
                throw Corrupt(file, $"id {entry.Value.GetInt32()} has two pieces");
        }

        if (root.TryGetProperty("added_tokens", out JsonElement added) && added.ValueKind == JsonValueKind.Array)
        {
            foreach (JsonElement token in added.EnumerateArray())
            {
                int id = token.GetProperty("id").GetInt32();
                byId[id] = token.GetProperty("content").GetString()!;
                // Text is never searched for added tokens, special or not: to us all of them are control tokens.
                special.Add(id);
            }
        }

        if (byId.Count == 0 || byId.Keys.First() < 0 || byId.Keys.Last() >= MaxIds)
            throw Corrupt(file, "its ids are not 0 and up");
        var pieces = new string?[byId.Keys.Last() + 1];
        foreach ((int id, string piece) in byId)
            pieces[id] = piece;
        return (pieces, special);
    }

    private static List<(string Left, string Right)> ReadMerges(JsonElement model)
    {
        var merges = new List<(string, string)>();
        foreach (JsonElement merge in model.GetProperty("merges").EnumerateArray())
        {
            if (merge.ValueKind == JsonValueKind.Array)
            {
                if (merge.GetArrayLength() != 2)
                    throw new FormatException($"merge {merges.Count + 1} is not a pair");
                merges.Add((merge[0].GetString()!, merge[1].GetString()!));
            }
            else
            {
                string[] parts = merge.GetString()!.Split(' ');
                if (parts.Length != 2)
                    throw new FormatException($"merge {merges.Count + 1} ('{merge.GetString()}') is not a pair");
                merges.Add((parts[0], parts[1]));
            }
        }

        return merges;
    }

    private static WordPattern ReadWords(JsonElement root, string file)
    {
        if (Child(root, "normalizer") is { } normalizer && Text(normalizer, "type") != "NFC")
            throw Unsupported(file, $"it has the normalizer '{Text(normalizer, "type")}' before ByteLevel");
        List<JsonElement> steps = Steps(Child(root, "pre_tokenizer"), "pretokenizers");
        bool splits = steps.Count == 2 && Text(steps[0], "type") == "Split";
        if (steps.Count == 0 || Text(steps[^1], "type") != "ByteLevel" || (steps.Count == 2 && !splits) || steps.Count > 2)
            throw Unsupported(file, $"its pre-tokenizer is [{string.Join(", ", steps.Select(s => Text(s, "type")))}] and only [Split, ByteLevel] (LLaMA-3, Qwen), [ByteLevel] (GPT-2), or byte_fallback (LLaMA-2), is supported");
        if (Flag(steps[^1], "add_prefix_space", false) || Flag(steps[^1], "use_regex", true) == splits)
            throw Unsupported(file, "its ByteLevel step adds a space, or splits where it must not or not where it must");
        if (!splits)
            return WordPattern.Gpt2;
        string? pattern = steps[0].GetProperty("pattern").TryGetProperty("Regex", out JsonElement regex) ? regex.GetString() : null;
        if (Text(steps[0], "behavior") is not (null or "Isolated") || Flag(steps[0], "invert", false))
            throw Unsupported(file, "its Split step does not keep every word on its own (behavior Isolated)");
        return pattern switch
        {
            TokenizerJsonModel.Llama3Pattern => WordPattern.Llama3,
            TokenizerJsonModel.QwenPattern => WordPattern.Qwen,
            _ => throw Unsupported(file, $"it splits by the pattern '{pattern}' and only those of LLaMA-3 and Qwen are supported"),
        };
    }

    private static DummyPrefix ReadPrefix(JsonElement root, string file)
    {
        const string Space = "▁";
        JsonElement? pre = Child(root, "pre_tokenizer");
        DummyPrefix prefix = DummyPrefix.None;
        bool replaced = false;
        foreach (JsonElement step in Steps(Child(root, "normalizer"), "normalizers"))
        {
            string? type = Text(step, "type");
            if (type == "Prepend" && Text(step, "prepend") == Space)
                prefix = DummyPrefix.Always;
            else if (type == "Replace" && Text(step, "content") == Space && Text(step.GetProperty("pattern"), "String") == " ")
                replaced = true;
            else
                throw Unsupported(file, $"it has the normalizer '{type}'");
        }

        if (pre is null)
            return replaced ? prefix : throw Unsupported(file, "neither its normalizer nor its pre-tokenizer escapes spaces");
        if (Text(pre.Value, "type") != "Metaspace" || (Text(pre.Value, "replacement") ?? Space) != Space)
            throw Unsupported(file, $"it has the pre-tokenizer '{Text(pre.Value, "type")}'");
        if (Flag(pre.Value, "split", true))
            throw Unsupported(file, "its Metaspace step splits at spaces, which LLaMA's do not");
        string scheme = Text(pre.Value, "prepend_scheme") ?? (Flag(pre.Value, "add_prefix_space", true) ? "always" : "never");
        return scheme == "never" || prefix == DummyPrefix.Always ? prefix : DummyPrefix.UnlessSpace;
    }

    private static List<JsonElement> Steps(JsonElement? step, string list) =>
        step is not { } one ? [] : Text(one, "type") == "Sequence" ? [.. one.GetProperty(list).EnumerateArray()] : [one];

    private static JsonElement? Child(JsonElement element, string name) =>
        element.TryGetProperty(name, out JsonElement child) && child.ValueKind == JsonValueKind.Object ? child : null;

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static bool Flag(JsonElement element, string name, bool fallback) =>
        element.TryGetProperty(name, out JsonElement value) ? value.ValueKind == JsonValueKind.True : fallback;

    private static DroverException Corrupt(string file, string why, Exception? inner = null) =>
        new(FailureCode.DataLoss, "CORRUPT_TOKENIZER_JSON", $"'{file}' is not a sound tokenizer.json: {why}. Fetch it again.", inner);

    private static DroverException Unsupported(string file, string why) =>
        new(FailureCode.FailedPrecondition, "UNSUPPORTED_TOKENIZER", $"'{file}' cannot be used: {why}.");
}
