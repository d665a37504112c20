using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Drover.Errors;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Exports;

/// <summary>The tokenizer's files that go beside the weights.</summary>
/// <param name="Prefix">Where they lie; empty for none.</param>
/// <param name="Names">The files.</param>
/// <param name="Hash">SHA-256 over names and digests; empty for none.</param>
/// <param name="Ids">The highest id of any of them plus one; 0 for none.</param>
internal sealed record TokenizerFiles(string Prefix, IReadOnlyList<string> Names, string Hash, long Ids)
{
    private const string Vocabulary = "tokenizer.json";
    private const string SentencePiece = "tokenizer.model";
    private static readonly string[] Known = [SentencePiece, Vocabulary, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "added_tokens.json"];

    /// <summary>Finds them and refuses a vocabulary that the embedding has no rows for.</summary>
    /// <param name="store">The object store.</param>
    /// <param name="prefix">The tokenizer's reference.</param>
    /// <param name="rows">Rows of the embedding.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="DroverException">NotFound; FailedPrecondition when the vocabulary is larger than the rows.</exception>
    public static async Task<TokenizerFiles> FindAsync(IObjectStore store, string prefix, long rows, CancellationToken cancellation)
    {
        if (prefix.Length == 0)
            return new TokenizerFiles("", [], "", 0);
        var names = new List<string>();
        var lines = new StringBuilder();
        long ids = 0;
        foreach (string name in Known)
        {
            string key = ObjectKey.Join(prefix, name);
            if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is null)
                continue;
            byte[] bytes = await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false);
            long size = VocabularyCount.OfFile(name, bytes, key);
            ids = Math.Max(ids, size);
            if (size > rows && name is Vocabulary or SentencePiece)
            {
                throw new DroverException(
                    FailureCode.FailedPrecondition,
                    "VOCABULARY_MISMATCH",
                    $"The tokenizer '{prefix}' has {size} ids ({name}), and the model has {rows} embedding rows. Export with the tokenizer that the run was trained with.");
            }

            names.Add(name);
            lines.Append(Convert.ToHexStringLower(SHA256.HashData(bytes))).Append("  ").Append(name).Append('\n');
        }

        if (!names.Contains(Vocabulary) && !names.Contains(SentencePiece))
            throw new DroverException(FailureCode.NotFound, "TOKENIZER_NOT_FOUND", $"There is no tokenizer at '{prefix}': it has neither {Vocabulary} nor {SentencePiece}.");
        return new TokenizerFiles(prefix, names, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(lines.ToString()))), ids);
    }

    /// <summary>
    /// Rows of the vocabulary that a model needs: up to the last id that the tokenizer or the config names. All of them where no tokenizer is named.
    /// </summary>
    public int RowsOf(LlamaConfig config)
    {
        if (Ids == 0)
            return config.VocabSize;
        long named = Math.Max(config.BosTokenId ?? 0, config.PadTokenId ?? 0);
        if (config.EosTokenId is { } eos)
        {
            foreach (JsonElement id in eos.ValueKind == JsonValueKind.Array ? [.. eos.EnumerateArray()] : (JsonElement[])[eos])
                named = id.ValueKind == JsonValueKind.Number && id.TryGetInt64(out long value) ? Math.Max(named, value) : named;
        }

        return (int)Math.Min(config.VocabSize, Math.Max(Ids, named + 1));
    }

    /// <summary>Copies them.</summary>
    public async Task CopyAsync(IObjectStore store, string target, CancellationToken cancellation)
    {
        foreach (string name in Names)
        {
            Stream source = await store.OpenReadAsync(ObjectKey.Join(Prefix, name), 0, null, cancellation).ConfigureAwait(false);
            await using (source.ConfigureAwait(false))
                await store.PutAsync(ObjectKey.Join(target, name), source, PutCondition.None, cancellation).ConfigureAwait(false);
        }
    }
}
