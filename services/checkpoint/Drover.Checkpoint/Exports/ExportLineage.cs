using System.Text.Json;
using System.Text.Json.Serialization;

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

    public string ToJson() => JsonSerializer.Serialize(this, ExportLineageJson.Default.ExportLineage) + "\n";
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(ExportLineage))]
internal sealed partial class ExportLineageJson : JsonSerializerContext;
