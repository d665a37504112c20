using System.Text.Json;
using System.Text.Json.Serialization;
using Drover.Formats.Checkpoints;

namespace Drover.Checkpoint.Exports;

/// <summary>
/// <c>drover.json</c>: where a model comes from. Written first, so it also claims the name: two exports that differ in any
/// of this cannot share a folder.
/// </summary>
internal sealed record ExportLineage
{
    public const string FileName = "drover.json";

    public required string Run { get; init; }

    public required long Step { get; init; }

    public required string Checkpoint { get; init; }

    public required string ManifestHash { get; init; }

    public required string Dataset { get; init; }

    public required string DatasetHash { get; init; }

    /// <summary>Content hash of the tokenizer that the run was trained with.</summary>
    public required string TokenizerHash { get; init; }

    /// <summary>Reference of the tokenizer beside the weights; empty for none.</summary>
    public required string Tokenizer { get; init; }

    /// <summary>SHA-256 over the names and digests of the tokenizer's files that were copied.</summary>
    public required string TokenizerFilesHash { get; init; }

    public required string DataType { get; init; }

    public required long MaxShardBytes { get; init; }

    /// <summary>The model that a run with frozen weights was trained beside; null for others.</summary>
    public BaseReference? Base { get; init; }

    /// <summary>"adapter", or null for a whole model.</summary>
    public string? Form { get; init; }

    /// <summary>What an adapter calls its base; null for the run's.</summary>
    public string? AdapterBase { get; init; }

    /// <summary>Rows of the vocabulary, where padding was left out; null where all of the run's are there.</summary>
    public int? VocabSize { get; init; }

    public string ToJson() => JsonSerializer.Serialize(this, ExportLineageJson.Default.ExportLineage) + "\n";
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ExportLineage))]
internal sealed partial class ExportLineageJson : JsonSerializerContext;
