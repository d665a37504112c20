using System.Text.Json;
using System.Text.Json.Nodes;
using Drover.Errors;
using Drover.Formats.HuggingFace;

namespace Drover.Formats.Adapters;

/// <summary>
/// PEFT's <c>adapter_config.json</c>, and what lies beside it. Reading refuses what Drover would compute differently, by name; fields of
/// PEFT that change nothing for LoRA on a LLaMA are passed over.
/// </summary>
public static class PeftConfig
{
    /// <summary>The config.</summary>
    public const string FileName = "adapter_config.json";

    /// <summary>The tensors.</summary>
    public const string WeightsFile = "adapter_model.safetensors";

    /// <summary>What the name of each tensor begins with.</summary>
    public const string Prefix = "base_model.model.";

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    // Fields by which PEFT does something else, where they are neither absent, null, false nor empty.
    private static readonly string[] Unsupported =
    [
        "fan_in_fan_out", "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern", "exclude_modules", "lora_bias", "target_parameters", "use_qalora",
        "use_bdlora", "layer_replication", "alora_invocation_tokens", "arrow_config", "kasa_config", "velora_config", "monteclora_config",
    ];

    /// <summary>Writes it.</summary>
    /// <param name="lora">What was trained.</param>
    /// <param name="config">The model.</param>
    /// <param name="baseModel">Where it lies, as people who load the adapter will name it.</param>
    public static string ToJson(LoraSpec lora, LlamaConfig config, string baseModel)
    {
        JsonArray Of(IEnumerable<string> names) => [.. names.Select(n => JsonValue.Create(n))];
        var json = new JsonObject
        {
            ["peft_type"] = "LORA",
            ["task_type"] = "CAUSAL_LM",
            ["base_model_name_or_path"] = baseModel,
            ["revision"] = null,
            ["inference_mode"] = true,
            ["r"] = lora.Rank,
            // PEFT's field is a whole number where it can be.
            ["lora_alpha"] = lora.Alpha == Math.Floor(lora.Alpha) ? JsonValue.Create((long)lora.Alpha) : JsonValue.Create(lora.Alpha),
            ["lora_dropout"] = lora.Dropout,
            ["bias"] = "none",
            ["fan_in_fan_out"] = false,
            ["init_lora_weights"] = true,
            ["use_rslora"] = lora.RankStabilized,
            ["use_dora"] = lora.Dora,
            ["target_modules"] = Of(ModulesOf(lora, config)),
            ["modules_to_save"] = lora.ModulesToSave.Count == 0 ? null : Of(SavedModulesOf(lora, config)),
            ["trainable_token_indices"] = lora.TokenRowsFrom == 0 ? null : RowsOf(lora, config),
        };
        return json.ToJsonString(Indented) + "\n";
    }

    /// <summary>Reads it.</summary>
    /// <param name="json">The file.</param>
    /// <param name="key">For messages.</param>
    /// <param name="config">The model that the adapter is for.</param>
    /// <exception cref="DroverException">DataLoss for what is no such file; Unimplemented, naming every field that Drover has nothing for.</exception>
    public static LoraSpec Parse(string json, string key, LlamaConfig config)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            JsonElement root = document.RootElement;
            string[] problems = [.. Problems(root, config)];
            if (problems.Length > 0)
                throw new DroverException(FailureCode.Unimplemented, "UNSUPPORTED_ADAPTER", $"'{key}' cannot be trained on: {string.Join("; ", problems)}.");
            return new LoraSpec
            {
                Rank = root.GetProperty("r").GetInt32(),
                Alpha = root.GetProperty("lora_alpha").GetDouble(),
                Dropout = Find(root, "lora_dropout")?.GetDouble() ?? 0,
                RankStabilized = Find(root, "use_rslora")?.GetBoolean() ?? false,
                Dora = Find(root, "use_dora")?.GetBoolean() ?? false,
                Targets = Find(root, "target_modules") is { ValueKind: JsonValueKind.String } ? LoraSpec.AllLinear : Names(Find(root, "target_modules")),
                ModulesToSave = Names(Find(root, "modules_to_save")),
                TokenRowsFrom = RowsFrom(root),
            };
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new DroverException(FailureCode.DataLoss, "CORRUPT_ADAPTER_CONFIG", $"'{key}' is not PEFT's config of an adapter: {e.Message}", e);
        }
    }

    private static IEnumerable<string> Problems(JsonElement root, LlamaConfig config)
    {
        if (root.GetProperty("peft_type").GetString() is var type && type != "LORA")
            yield return $"peft_type is {type}; Drover has LORA";
        if (Find(root, "bias")?.GetString() is { } bias && bias != "none")
            yield return $"bias is '{bias}'; name modules in modules_to_save instead";
        foreach (string field in Unsupported.Where(f => !IsEmpty(root, f)))
            yield return $"{field} is {root.GetProperty(field).GetRawText()}, which Drover has nothing for";
        if (Find(root, "target_modules") is { ValueKind: JsonValueKind.String } text && text.GetString() != "all-linear")
            yield return $"target_modules is the pattern '{text.GetString()}'; list the modules";
        if (Find(root, "trainable_token_indices") is { } rows && !AreLastRows(rows, config))
            yield return $"trainable_token_indices are not the last rows of the vocabulary, in embed_tokens and{(config.TieWordEmbeddings ? " (tied)" : "")} lm_head alike";
    }

    // Names where a target is one everywhere, as people write them; else the modules one by one.
    private static IEnumerable<string> ModulesOf(LoraSpec lora, LlamaConfig config) => lora.Targets.Any(t => t.Contains('*', StringComparison.Ordinal))
        ? LlamaTensors.All(config).Where(w => lora.IsTarget(w.Name)).Select(w => AdapterTensors.ModuleOf(w.Name))
        : lora.Targets;

    private static IEnumerable<string> SavedModulesOf(LoraSpec lora, LlamaConfig config) => lora.ModulesToSave.Any(t => t.Contains('*', StringComparison.Ordinal))
        ? LlamaTensors.All(config).Where(w => lora.IsSaved(w.Name)).Select(w => AdapterTensors.ModuleOf(w.Name)).Distinct()
        : lora.ModulesToSave;

    private static JsonObject RowsOf(LoraSpec lora, LlamaConfig config)
    {
        JsonArray Ids() => [.. Enumerable.Range((int)lora.TokenRowsFrom, config.VocabSize - (int)lora.TokenRowsFrom).Select(i => JsonValue.Create(i))];
        var rows = new JsonObject { ["embed_tokens"] = Ids() };
        if (!config.TieWordEmbeddings)
            rows["lm_head"] = Ids();
        return rows;
    }

    private static bool AreLastRows(JsonElement rows, LlamaConfig config)
    {
        if (rows.ValueKind != JsonValueKind.Object)
            return false;
        string[] expected = config.TieWordEmbeddings ? ["embed_tokens"] : ["embed_tokens", "lm_head"];
        long first = rows.EnumerateObject().First().Value.EnumerateArray().First().GetInt64();
        return rows.EnumerateObject().Select(p => p.Name).Order(StringComparer.Ordinal).SequenceEqual(expected)
            && first > 0
            && rows.EnumerateObject().All(p => p.Value.EnumerateArray().Select(v => v.GetInt64()).SequenceEqual(Enumerable.Range((int)first, config.VocabSize - (int)first).Select(i => (long)i)));
    }

    private static long RowsFrom(JsonElement root) =>
        Find(root, "trainable_token_indices") is { } rows ? rows.EnumerateObject().First().Value.EnumerateArray().First().GetInt64() : 0;

    private static JsonElement? Find(JsonElement root, string name) =>
        root.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private static bool IsEmpty(JsonElement root, string name) => Find(root, name) is not { } value || value.ValueKind switch
    {
        JsonValueKind.False => true,
        JsonValueKind.Array => value.GetArrayLength() == 0,
        JsonValueKind.Object => !value.EnumerateObject().Any(),
        _ => false,
    };

    private static string[] Names(JsonElement? list) => list is { } names ? [.. names.EnumerateArray().Select(n => n.GetString()!)] : [];
}
