using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using Drover.Formats.Datasets;
using Drover.ObjectStore;

namespace Drover.DataPrep.Building;

/// <summary>
/// Everything that decides the bytes of a dataset, and how the work is cut. Made once a build; the tasks of a build and
/// their numbers never change, so whoever does a task, and however often, writes the same object under the same key.
/// </summary>
internal sealed record BuildPlan
{
    /// <summary>Raised when tokenizing, packing or writing changes what the same input gives.</summary>
    public int Version { get; init; } = 1;

    /// <summary>"datasets/&lt;name&gt;".</summary>
    public required string Dataset { get; init; }

    /// <summary>"pretrain" or "sft".</summary>
    public required string Format { get; init; }

    public required string Tokenizer { get; init; }

    public required string TokenizerHash { get; init; }

    public required int VocabularySize { get; init; }

    public required int MaxLength { get; init; }

    /// <summary>Empty for pretraining.</summary>
    public required string Template { get; init; }

    public required IReadOnlyList<DatasetSource> Sources { get; init; }

    public required IReadOnlyList<PlannedTask> Tasks { get; init; }

    /// <summary>SHA-256 of this plan, lower-case hex: the identity of spec, tokenizer and sources together.</summary>
    [JsonIgnore]
    public string SpecHash => Convert.ToHexStringLower(SHA256.HashData(ToJson()));

    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, BuildJson.Default.BuildPlan);
}

/// <summary>A byte range of a source.</summary>
/// <param name="Source">Index into the plan's sources.</param>
/// <param name="Offset">First byte; the first of a line.</param>
/// <param name="Length">Bytes; ends after a line's end or with the file.</param>
/// <param name="FirstLine">1-based number of the first line.</param>
/// <param name="IsArray">The whole file is one JSON array; "lines" are its elements.</param>
internal sealed record PlannedTask(int Source, long Offset, long Length, long FirstLine, bool IsArray);

/// <summary>Where the parts of a build lie.</summary>
/// <param name="Folder">"builds/&lt;name&gt;/&lt;16 digits of the spec hash&gt;".</param>
internal sealed record BuildKeys(string Folder)
{
    public static BuildKeys Of(BuildPlan plan) =>
        new(ObjectKey.Join("builds", plan.Dataset["datasets/".Length..], plan.SpecHash[..16]));

    public string Plan => ObjectKey.Join(Folder, "plan.json");

    public string Record(int task) => ObjectKey.Join(Folder, "tasks", $"{task:d5}.json");
}

/// <summary>Serializes what a build keeps in the object store.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(BuildPlan))]
[JsonSerializable(typeof(CompletionRecord))]
internal sealed partial class BuildJson : JsonSerializerContext;
