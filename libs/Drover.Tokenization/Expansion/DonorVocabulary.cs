using System.Text;
using System.Text.Json;
using Drover.Errors;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;
using Drover.ObjectStore;

namespace Drover.Tokenization.Expansion;

/// <summary>
/// The pieces of another tokenizer, of any kind: a SentencePiece model, tiktoken's ranks or a <c>tokenizer.json</c>. Only their
/// texts are taken; how the donor cuts, normalizes or ranks does not matter.
/// </summary>
public static class DonorVocabulary
{
    /// <summary>Whether an object is a vocabulary and not a list of pieces.</summary>
    public static bool IsVocabulary(string key) => key.EndsWith(".model", StringComparison.Ordinal) || key.EndsWith(TokenizerJsonModel.FileName, StringComparison.Ordinal);

    /// <summary>Reads pieces in the order of their ids, special tokens and byte pieces aside; a leading space is a space.</summary>
    /// <param name="store">Where it lies.</param>
    /// <param name="reference">A .model or .json file, or a prefix that holds <c>tokenizer.model</c> or <c>tokenizer.json</c>.</param>
    /// <param name="cancellation">Stops reading.</param>
    /// <exception cref="DroverException">NotFound, or DataLoss for a damaged file.</exception>
    public static async Task<List<string>> ReadAsync(IObjectStore store, string reference, CancellationToken cancellation)
    {
        foreach (string key in IsVocabulary(reference) ? [reference] : (string[])[ObjectKey.Join(reference, SentencePieceModel.FileName), ObjectKey.Join(reference, TokenizerJsonModel.FileName)])
        {
            if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is not null)
                return Parse(await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false), key);
        }

        throw new DroverException(FailureCode.NotFound, "TOKENIZER_NOT_FOUND", $"There is no vocabulary at '{reference}': give a .model or tokenizer.json file, or a folder with one.");
    }

    /// <summary>Pieces of a file's bytes.</summary>
    public static List<string> Parse(byte[] bytes, string file)
    {
        if (file.EndsWith(".json", StringComparison.Ordinal))
            return ParseJson(bytes, file);
        if (TiktokenRanks.Looks(bytes))
            return [.. TiktokenRanks.Parse(bytes, file).Select(TextOf).OfType<string>()];
        return [.. SentencePieceModel.ReadPieces(bytes, file)
            .Where(p => p.Kind is SentencePieceKind.Normal or SentencePieceKind.UserDefined)
            .Select(p => p.Text.Replace('▁', ' '))];
    }

    private static List<string> ParseJson(byte[] bytes, string file)
    {
        try
        {
            using var document = JsonDocument.Parse(bytes);
            JsonElement root = document.RootElement;
            JsonElement vocabulary = root.GetProperty("model").GetProperty("vocab");
            var special = new HashSet<string>(StringComparer.Ordinal);
            if (root.TryGetProperty("added_tokens", out JsonElement added) && added.ValueKind == JsonValueKind.Array)
                special.UnionWith(added.EnumerateArray().Select(t => t.GetProperty("content").GetString()!));
            IEnumerable<string> pieces = vocabulary.ValueKind == JsonValueKind.Array
                ? vocabulary.EnumerateArray().Select(p => p[0].GetString()!)
                : vocabulary.EnumerateObject().OrderBy(p => p.Value.GetInt32()).Select(p => p.Name);
            bool byteLevel = UsesByteLevel(root);
            return [.. pieces
                .Where(p => !special.Contains(p) && SentencePieceTokenizer.ByteOf(p) is null)
                .Select(p => byteLevel ? TextOf(ByteLevelAlphabet.Read(p)) : p.Replace('▁', ' '))
                .OfType<string>()];
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException)
        {
            throw new DroverException(FailureCode.DataLoss, "CORRUPT_TOKENIZER_JSON", $"'{file}' is not a tokenizer.json with a vocabulary: {e.Message}", e);
        }
    }

    private static bool UsesByteLevel(JsonElement root) =>
        root.TryGetProperty("decoder", out JsonElement decoder) && decoder.ValueKind == JsonValueKind.Object && decoder.GetRawText().Contains("\"ByteLevel\"", StringComparison.Ordinal);

    // Pieces that are parts of characters have no text.
    private static string? TextOf(byte[]? bytes) =>
        bytes is not null && System.Text.Unicode.Utf8.IsValid(bytes) ? Encoding.UTF8.GetString(bytes) : null;
}
