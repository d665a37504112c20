using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using Drover.DataPrep.Sources;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Building;

/// <summary>
/// Everything that decides the bytes of a dataset, and how the work is cut. Made once a build; the tasks of a build and
/// their numbers never change, so whoever does a task, and however often, writes the same object under the same key.
/// </summary>
internal sealed record BuildPlan
{
    /// <summary>Raised when tokenizing, packing or writing changes what the same input gives.</summary>
    public const int CurrentVersion = 3;

    private DatasetSpec? _settings;

    public int Version { get; init; } = CurrentVersion;

    /// <summary>"datasets/&lt;name&gt;".</summary>
    public required string Dataset { get; init; }

    /// <summary>The spec as JSON, defaults filled in.</summary>
    public required string Spec { get; init; }

    public required string TokenizerHash { get; init; }

    public required int VocabularySize { get; init; }

    /// <summary>The tokenizer's chat template as it was when the build was planned, where the spec wants it.</summary>
    public string ChatTemplate { get; init; } = "";

    /// <summary>The dataset that this one begins with, or null.</summary>
    public DatasetBase? Extends { get; init; }

    public required IReadOnlyList<DatasetSource> Sources { get; init; }

    public required IReadOnlyList<PlannedTask> Tasks { get; init; }

    /// <summary>Number of the first task in file names: those below are of the dataset that is extended.</summary>
    public int FirstTask { get; init; }

    /// <summary>The spec.</summary>
    [JsonIgnore]
    public DatasetSpec Settings => _settings ??= DatasetSpec.Parser.ParseJson(Spec);

    /// <summary>SHA-256 of this plan, lower-case hex: the identity of spec, tokenizer and sources together.</summary>
    [JsonIgnore]
    public string SpecHash => Convert.ToHexStringLower(SHA256.HashData(ToJson()));

    /// <summary>Whether documents like ones before are left out.</summary>
    [JsonIgnore]
    public bool Deduplicates => Settings.Deduplication is { } wanted && (wanted.Exact || wanted.NearThreshold > 0);

    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, BuildJson.Default.BuildPlan);
}

/// <summary>Pieces of sources, read one after the other.</summary>
internal sealed record PlannedTask(IReadOnlyList<PlannedPiece> Pieces)
{
    /// <summary>Bytes of all pieces.</summary>
    [JsonIgnore]
    public long Length => Pieces.Sum(p => p.Length);
}

/// <summary>A byte range of a source.</summary>
/// <param name="Source">Index into the plan's sources.</param>
/// <param name="Offset">First byte; the first of a line.</param>
/// <param name="Length">Bytes; ends after a line's end or with the file.</param>
/// <param name="FirstLine">1-based number of the first line.</param>
/// <param name="Shape">How records lie in it.</param>
/// <param name="Xxh128">Digest of its bytes, lower-case hex.</param>
internal sealed record PlannedPiece(int Source, long Offset, long Length, long FirstLine, RecordShape Shape, string Xxh128);

/// <summary>Where the parts of a build lie.</summary>
/// <param name="Folder">"builds/&lt;name&gt;/&lt;16 digits of the spec hash&gt;".</param>
internal sealed record BuildKeys(string Folder)
{
    public static BuildKeys Of(BuildPlan plan) => new(ObjectKey.Join("builds", NameOf(plan.Dataset), plan.SpecHash[..16]));

    /// <summary>Holds the folder of the plan that a spec, its tokenizer and its sources were given.</summary>
    public static string Planned(string dataset, string fingerprint) => ObjectKey.Join("builds", NameOf(dataset), $"planned-{fingerprint[..16]}");

    public string Plan => ObjectKey.Join(Folder, "plan.json");

    /// <summary>Completion records of a phase.</summary>
    public string Records(TaskPhase phase) => ObjectKey.Join(Folder, phase == TaskPhase.Signatures ? "read" : "tasks");

    public string Record(TaskPhase phase, int task) => ObjectKey.Join(Records(phase), $"{task:d5}.json");

    /// <summary>What the duplicates phase found for a task.</summary>
    public string Duplicates(int task) => ObjectKey.Join(Folder, "duplicates", $"{task:d5}.bin");

    /// <summary>Written when the duplicates of all tasks are known.</summary>
    public string DuplicatesDone => ObjectKey.Join(Folder, "duplicates", "done");

    private static string NameOf(string dataset) => dataset["datasets/".Length..];
}

/// <summary>Serializes what a build keeps in the object store.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, UseStringEnumConverter = true)]
[JsonSerializable(typeof(BuildPlan))]
[JsonSerializable(typeof(CompletionRecord))]
internal sealed partial class BuildJson : JsonSerializerContext;
