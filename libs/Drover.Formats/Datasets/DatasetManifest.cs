using System.Text.Json.Serialization;

namespace Drover.Formats.Datasets;

/// <summary>
/// <c>manifest.json</c> of a dataset: what was read, what became of it, and where the rows are.
/// <c>TokensIn == TokensInRows + TokensRejected</c>, always.
/// </summary>
public sealed record DatasetManifest
{
    /// <summary>The name of the file.</summary>
    public const string FileName = "manifest.json";

    /// <summary>Version of this layout.</summary>
    public int Version { get; init; } = 1;

    /// <summary>"pretrain" or "sft".</summary>
    public required string Format { get; init; }

    /// <summary>Reference of the tokenizer.</summary>
    public required string Tokenizer { get; init; }

    /// <summary>Its content hash (see TokenizerInfo.content_hash).</summary>
    public required string TokenizerHash { get; init; }

    /// <summary>Ids of the tokenizer; every id in the rows is smaller.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>SHA-256 of the canonical spec.</summary>
    public required string SpecHash { get; init; }

    /// <summary>Tokens in a full row.</summary>
    public required int MaxLength { get; init; }

    /// <summary>Row count over all shards.</summary>
    public required long Rows { get; init; }

    /// <summary>Documents (or conversations) in the rows.</summary>
    public required long Documents { get; init; }

    /// <summary>Tokens of all documents read, BOS and EOS included.</summary>
    public required long TokensIn { get; init; }

    /// <summary>Tokens in rows.</summary>
    public required long TokensInRows { get; init; }

    /// <summary>Tokens of documents that were rejected after tokenizing.</summary>
    public required long TokensRejected { get; init; }

    /// <summary>Labels that are not ignored.</summary>
    public required long LabelTokens { get; init; }

    /// <summary>Lines read.</summary>
    public required long LinesIn { get; init; }

    /// <summary>Lines rejected, each in a rejects file with its reason.</summary>
    public required long LinesRejected { get; init; }

    /// <summary>UTF-8 bytes of the text whose tokens are in rows.</summary>
    public required long TextBytes { get; init; }

    /// <summary>Tokens in rows by category.</summary>
    public required SortedDictionary<string, long> TokensByCategory { get; init; }

    /// <summary>The files read.</summary>
    public required IReadOnlyList<DatasetSource> Sources { get; init; }

    /// <summary>The shards, in the order that gives rows their global ids.</summary>
    public required IReadOnlyList<DatasetShard> Shards { get; init; }
}

/// <summary>A file that was read.</summary>
/// <param name="Key">Object-store key.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Sha256">Its digest, lower-case hex.</param>
public sealed record DatasetSource(string Key, long Bytes, string Sha256);

/// <summary>An Arrow IPC stream file of rows.</summary>
/// <param name="File">Relative to the manifest.</param>
/// <param name="Rows">Rows in it.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Sha256">Its digest, lower-case hex.</param>
public sealed record DatasetShard(string File, long Rows, long Bytes, string Sha256);

/// <summary>Serializes <see cref="DatasetManifest"/> with sorted, stable bytes.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(DatasetManifest))]
public sealed partial class DatasetManifestJson : JsonSerializerContext;
