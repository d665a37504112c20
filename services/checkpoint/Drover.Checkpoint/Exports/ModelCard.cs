using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Drover.Formats.Checkpoints;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Exports;

/// <summary>README.md of a model: what the Hub and people read. It holds what the checkpoint knows, and nothing that somebody would have to make up.</summary>
internal static class ModelCard
{
    public const string FileName = "README.md";

    /// <summary>The text: metadata as YAML, where the model comes from, how it did, how it is loaded.</summary>
    public static string Of(ExportSpec spec, CheckpointReader checkpoint, ExportLineage lineage)
    {
        CheckpointManifest manifest = checkpoint.Manifest;
        bool isAdapter = spec.Form == ExportForm.Adapter;
        string? baseModel = BaseOf(manifest);
        var text = new StringBuilder();
        Line(text, "---");
        Line(text, $"library_name: {(isAdapter ? "peft" : "transformers")}");
        Line(text, "pipeline_tag: text-generation");
        if (baseModel is not null)
            Line(text, $"base_model: {JsonSerializer.Serialize(baseModel)}");
        Line(text, "tags: [drover]");
        Line(text, "---");
        Line(text, $"# {(spec.Name.Length > 0 ? spec.Name : $"{manifest.Run}, step {manifest.Step}")}");
        Line(text, "");
        Line(text, $"{(isAdapter ? "An adapter" : "A model")} of the run `{manifest.Run}` after step {manifest.Step}, trained with Drover.");
        Line(text, "");
        Line(text, "| | |");
        Line(text, "|---|---|");
        Row(text, "Base model", baseModel);
        Row(text, "Checkpoint", $"{lineage.Checkpoint} (manifest {lineage.ManifestHash[..16]})");
        Row(text, "Dataset", $"{lineage.Dataset} (manifest {Short(lineage.DatasetHash)})");
        Row(text, "Tokenizer", lineage.Tokenizer.Length > 0 ? $"{lineage.Tokenizer} (content {Short(lineage.TokenizerHash)})" : null);
        Row(text, "Rows, tokens seen", string.Create(CultureInfo.InvariantCulture, $"{manifest.RowsConsumed:N0}, {manifest.TokensSeen:N0}"));
        Row(text, "Training loss", string.Create(CultureInfo.InvariantCulture, $"{manifest.Loss:F4} nats per token (last step)"));
        if (manifest.HeldOut is { } heldOut)
        {
            Row(text, "Held-out loss", string.Create(CultureInfo.InvariantCulture, $"{heldOut.Loss:F4} (step {heldOut.Step})"));
            foreach ((string label, double loss) in heldOut.Losses)
                Row(text, $"Held-out loss, {label}", loss.ToString("F4", CultureInfo.InvariantCulture));
        }

        Row(text, "Weights", lineage.DataType);
        if (manifest.Adapter is { } lora)
            Row(text, "Adapter", string.Create(CultureInfo.InvariantCulture, $"rank {lora.Rank}, alpha {lora.Alpha}{(lora.Dora ? ", DoRA" : "")}{(isAdapter ? "" : ", merged")}"));
        return text.ToString();
    }

    private static string? BaseOf(CheckpointManifest manifest)
    {
        if (manifest.Base is { } reference)
            return reference.Model;
        try
        {
            JsonNode? spec = JsonNode.Parse(manifest.RunSpec);
            return spec?["baseModel"]?.GetValue<string>() ?? spec?["checkpoint"]?.GetValue<string>();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    private static string Short(string hash) => hash.Length > 16 ? hash[..16] : hash;

    private static void Line(StringBuilder text, string line) => text.Append(line).Append('\n');

    private static void Row(StringBuilder text, string name, string? value)
    {
        if (value is not null)
            Line(text, $"| {name} | {value.Replace("|", "\\|", StringComparison.Ordinal)} |");
    }
}
