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

    /// <summary>The layout that this code writes and reads.</summary>
    public const int CurrentVersion = 3;

    /// <summary>Version of this layout.</summary>
    public int Version { get; init; } = CurrentVersion;

    /// <summary>"pretrain" or "sft".</summary>
    public required string Format { get; init; }

    /// <summary>Reference of the tokenizer.</summary>
    public required string Tokenizer { get; init; }

    /// <summary>Its content hash (see TokenizerInfo.content_hash).</summary>
    public required string TokenizerHash { get; init; }

    /// <summary>Ids of the tokenizer; every id in the rows is smaller.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>SHA-256 of the build's plan: spec, tokenizer and the digests of the sources.</summary>
    public required string SpecHash { get; init; }

    /// <summary>The spec as JSON, with defaults filled in; empty where none is known.</summary>
    public string Spec { get; init; } = "";

    /// <summary>Tasks that the rows were made in; of a dataset that extends another, of both.</summary>
    public int TaskCount { get; init; }

    /// <summary>Files with what tells duplicates (see the dataprep service), relative to the manifest; empty where none were looked for.</summary>
    public IReadOnlyList<string> Signatures { get; init; } = [];

    /// <summary>Reference and manifest hash of the dataset whose shards this one begins with; null where it begins with none.</summary>
    public DatasetBase? Extends { get; init; }

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

    /// <summary>The same counts by category.</summary>
    public SortedDictionary<string, CategoryTotals> Categories { get; init; } = [];

    /// <summary>What is not in rows, by reason.</summary>
    public SortedDictionary<string, RejectTotals> Rejects { get; init; } = [];

    /// <summary>Documents in rows by language.</summary>
    public SortedDictionary<string, long> Languages { get; init; } = [];

    /// <summary>Documents in rows by their tokens: bucket b counts those of 2^(b-1) + 1 to 2^b.</summary>
    public IReadOnlyList<long> DocumentTokens { get; init; } = [];

    /// <summary>Rows by their tokens, in twentieths of <see cref="MaxLength"/>: bucket b counts those of more than b and at most b + 1 of them.</summary>
    public IReadOnlyList<long> RowTokens { get; init; } = [];

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
/// <param name="Xxh128">Its digest, lower-case hex: tells damage, at a cost that is not seen beside tokenizing (SHA-256's was a third).</param>
public sealed record DatasetShard(string File, long Rows, long Bytes, string Xxh128)
{
    /// <summary>What was read for it; packing puts documents of all that into a row.</summary>
    public IReadOnlyList<ShardSource> From { get; init; } = [];

    /// <summary>Its record batches, in order: each can be read and checked alone.</summary>
    public IReadOnlyList<ArrowBatch> Batches { get; init; } = [];
}

/// <summary>A stretch of a source.</summary>
/// <param name="Key">Of the source.</param>
/// <param name="FirstLine">Number of its first line, element or row.</param>
/// <param name="Bytes">Bytes of the stretch.</param>
public sealed record ShardSource(string Key, long FirstLine, long Bytes);

/// <summary>A record batch of a shard.</summary>
/// <param name="Offset">Its message's first byte.</param>
/// <param name="Bytes">Bytes of its message.</param>
/// <param name="Rows">Rows in it.</param>
/// <param name="Xxh128">Digest of its message, lower-case hex.</param>
public sealed record ArrowBatch(long Offset, long Bytes, int Rows, string Xxh128);

/// <summary>The dataset that another begins with.</summary>
/// <param name="Dataset">E.g. "datasets/mine".</param>
/// <param name="ManifestHash">Of its manifest.</param>
public sealed record DatasetBase(string Dataset, string ManifestHash);

/// <summary>Counts of a category: <c>TokensIn == TokensInRows + TokensRejected</c>.</summary>
public sealed record CategoryTotals(long Documents, long TokensIn, long TokensInRows, long TokensRejected, long LabelTokens)
{
    /// <summary>Sums two.</summary>
    public static CategoryTotals operator +(CategoryTotals a, CategoryTotals b) => new(
        a.Documents + b.Documents, a.TokensIn + b.TokensIn, a.TokensInRows + b.TokensInRows, a.TokensRejected + b.TokensRejected, a.LabelTokens + b.LabelTokens);
}

/// <summary>What was rejected for one reason.</summary>
/// <param name="Entries">Entries of rejects files.</param>
/// <param name="Tokens">Tokens in them, where the text was tokenized.</param>
public sealed record RejectTotals(long Entries, long Tokens)
{
    /// <summary>Sums two.</summary>
    public static RejectTotals operator +(RejectTotals a, RejectTotals b) => new(a.Entries + b.Entries, a.Tokens + b.Tokens);
}

/// <summary>Serializes <see cref="DatasetManifest"/> with sorted, stable bytes.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(DatasetManifest))]
public sealed partial class DatasetManifestJson : JsonSerializerContext;
