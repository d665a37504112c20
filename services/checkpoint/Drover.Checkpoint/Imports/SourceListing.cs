using System.Text.Json;
using System.Text.RegularExpressions;
using Drover.Errors;
using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;

namespace Drover.Checkpoint.Imports;

/// <summary>A file of a repository, as its listing tells of it.</summary>
/// <param name="Path">Within the repository.</param>
/// <param name="Size">Bytes; null where the listing says nothing.</param>
/// <param name="Sha256">Digest of its bytes, lower-case hex; null where none is told.</param>
/// <param name="GitBlob">SHA-1 as git gives it to a blob; null where none is told.</param>
internal sealed record SourceFile(string Path, long? Size, string? Sha256, string? GitBlob);

/// <summary>A repository at a commit.</summary>
/// <param name="Commit">What the revision stands for.</param>
/// <param name="Files">All of them.</param>
internal sealed partial record SourceListing(string Commit, IReadOnlyList<SourceFile> Files)
{
    // What a model or an adapter is made of; other formats of the weights, and what the authors' training left, stay where they are.
    private static readonly HashSet<string> Known = new(StringComparer.Ordinal)
    {
        LlamaConfig.FileName, "generation_config.json", HuggingFaceModel.IndexFile, PeftConfig.FileName, "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
        "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "README.md", "LICENSE", "LICENSE.txt", "NOTICE",
    };

    /// <summary>Reads the Hub's description of a model (api/models/ID/revision/REV?blobs=true).</summary>
    /// <exception cref="DroverException">DataLoss when it is none.</exception>
    public static SourceListing Parse(string json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            string commit = document.RootElement.GetProperty("sha").GetString() ?? throw new JsonException("sha is null");
            return new SourceListing(commit, [.. document.RootElement.GetProperty("siblings").EnumerateArray().Select(FileOf)]);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new DroverException(FailureCode.DataLoss, "INVALID_LISTING", $"The address does not answer as the Hugging Face Hub does: {e.Message}. Name one that does.", e);
        }
    }

    /// <summary>The files that are fetched: the one that makes it a model, or an adapter, last.</summary>
    /// <exception cref="DroverException">NotFound, or FailedPrecondition for weights in .bin files.</exception>
    public IReadOnlyList<SourceFile> Chosen(string repository)
    {
        bool isAdapter = !Has(LlamaConfig.FileName) && Has(PeftConfig.FileName);
        string last = isAdapter ? PeftConfig.FileName : LlamaConfig.FileName;
        if (!Has(last))
            throw new DroverException(FailureCode.NotFound, "MODEL_NOT_FOUND", $"'{repository}' is no model and no adapter: it has neither {LlamaConfig.FileName} nor {PeftConfig.FileName}.");
        bool isSharded = Has(HuggingFaceModel.IndexFile);
        SourceFile[] weights = [.. Files.Where(f => isAdapter ? f.Path == PeftConfig.WeightsFile : isSharded ? Shard().IsMatch(f.Path) : f.Path == HuggingFaceModel.SingleShard)];
        if (weights.Length == 0)
        {
            throw Files.Any(f => f.Path.EndsWith(".bin", StringComparison.Ordinal) || f.Path.EndsWith(".pth", StringComparison.Ordinal))
                ? new DroverException(FailureCode.FailedPrecondition, "PICKLED_WEIGHTS", $"'{repository}' has its weights in .bin files, which can run code when read. Fetch a revision with safetensors.")
                : new DroverException(FailureCode.NotFound, "WEIGHTS_NOT_FOUND", $"'{repository}' has no weights in safetensors files.");
        }

        return [.. Files.Where(f => Known.Contains(f.Path) && f.Path is not (LlamaConfig.FileName or PeftConfig.FileName)), .. weights, Files.First(f => f.Path == last)];
    }

    private bool Has(string path) => Files.Any(f => f.Path == path);

    private static SourceFile FileOf(JsonElement entry)
    {
        string path = entry.GetProperty("rfilename").GetString() ?? throw new JsonException("a name is null");
        long? size = entry.TryGetProperty("size", out JsonElement bytes) && bytes.ValueKind == JsonValueKind.Number ? bytes.GetInt64() : null;
        // Another Drover tells it here, or that it has none: what it renders has tags that are no digests.
        if (entry.TryGetProperty("sha256", out JsonElement told))
            return new SourceFile(path, size, told.GetString(), null);
        if (entry.TryGetProperty("lfs", out JsonElement lfs) && lfs.ValueKind == JsonValueKind.Object)
            return new SourceFile(path, size, lfs.GetProperty("sha256").GetString(), null);
        return new SourceFile(path, size, null, entry.TryGetProperty("blobId", out JsonElement blob) ? blob.GetString() : null);
    }

    [GeneratedRegex(@"\Amodel-\d{5}-of-\d{5}\.safetensors\z")]
    private static partial Regex Shard();
}
