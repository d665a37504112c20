using System.Text.Json;
using System.Text.Json.Nodes;
using Drover.Errors;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;
using Drover.ObjectStore;

namespace Drover.Tokenization;

/// <summary>Writes all files of a tokenizer, for SentencePiece, llama.cpp, transformers 4 and 5.</summary>
public static class TokenizerFiles
{
    /// <summary>Writes <c>tokenizer.model</c> (where the vocabulary can be said in one), settings, and <c>tokenizer.json</c> last.</summary>
    /// <param name="store">Where to.</param>
    /// <param name="prefix">The folder.</param>
    /// <param name="vocabulary">What.</param>
    /// <param name="settings">tokenizer_config.json of the tokenizer it was made from, or null; keys that are not about ids are kept.</param>
    /// <param name="cancellation">Stops between files.</param>
    public static async Task WriteAsync(IObjectStore store, string prefix, Vocabulary vocabulary, string? settings, CancellationToken cancellation)
    {
        if (ModelOf(vocabulary) is { } model)
            await store.PutBytesAsync(ObjectKey.Join(prefix, SentencePieceModel.FileName), model.ToBytes(), PutCondition.None, cancellation).ConfigureAwait(false);
        await store.PutTextAsync(ObjectKey.Join(prefix, TokenizerFolder.SpecialTokensFile), Text(SpecialTokens(vocabulary)), cancellation).ConfigureAwait(false);
        await store.PutTextAsync(ObjectKey.Join(prefix, TokenizerFolder.ConfigFile), Text(Settings(vocabulary, settings, prefix)), cancellation).ConfigureAwait(false);
        byte[] json = TokenizerJsonWriter.Write(JsonOf(vocabulary), vocabulary.BosId >= 0 ? vocabulary.BosId : null);
        await store.PutBytesAsync(ObjectKey.Join(prefix, TokenizerJsonModel.FileName), json, PutCondition.None, cancellation).ConfigureAwait(false);
    }

    private static SentencePieceModel? ModelOf(Vocabulary vocabulary)
    {
        if (vocabulary.Family != TokenizerFamily.SentencePieceBpe)
            return null;
        if (vocabulary.Source is { } source)
            return source;
        bool plain = vocabulary is { Prefix: DummyPrefix.Always, UnkId: 0, BosId: 1, EosId: 2, PadId: -1 } && vocabulary.MergesAreThoseOfPieces();
        return plain ? SentencePieceModel.Create(vocabulary.Pieces) : null;
    }

    private static TokenizerJsonModel JsonOf(Vocabulary vocabulary) => new()
    {
        ByteLevel = vocabulary.Family == TokenizerFamily.ByteLevelBpe,
        Pieces = [.. vocabulary.Pieces.Select(p => p.Text)],
        Merges = [.. vocabulary.Merges.Where(m => m is { Left: >= 0, Right: >= 0 }).Select(m => (vocabulary.Pieces[m.Left].Text, vocabulary.Pieces[m.Right].Text))],
        Special = vocabulary.Pieces.Index().Where(p => p.Item.Kind is SentencePieceKind.Control or SentencePieceKind.Unknown).Select(p => p.Index).ToHashSet(),
        IgnoreMerges = vocabulary.IgnoreMerges,
        Prefix = vocabulary.Prefix,
        Words = vocabulary.Words,
        NormalizesToC = vocabulary.NormalizesToC,
        UnknownToken = Name(vocabulary, vocabulary.UnkId),
    };

    private static JsonObject Settings(Vocabulary vocabulary, string? settings, string prefix)
    {
        JsonObject config;
        try
        {
            config = settings is null ? [] : JsonNode.Parse(settings)!.AsObject();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new DroverException(FailureCode.DataLoss, "CORRUPT_TOKENIZER_CONFIG", $"The {TokenizerFolder.ConfigFile} that '{prefix}' is made from is not a JSON object.", e);
        }

        config.Remove("added_tokens_decoder"); // tokenizer.json says the same, with ids that are right
        // LlamaTokenizer would take the vocabulary and put its own rules for spaces in place of the file's.
        config["tokenizer_class"] = "PreTrainedTokenizerFast";
        foreach ((string key, JsonNode? value) in SpecialTokens(vocabulary))
            config[key] = value?.DeepClone();
        config["clean_up_tokenization_spaces"] = false;
        if (!config.ContainsKey("padding_side"))
            config["padding_side"] = "right";
        if (!config.ContainsKey("model_max_length"))
            config["model_max_length"] = 1_000_000_000;
        return config;
    }

    private static JsonObject SpecialTokens(Vocabulary vocabulary)
    {
        var tokens = new JsonObject();
        foreach ((string key, int id) in ((string, int)[])[("bos_token", vocabulary.BosId), ("eos_token", vocabulary.EosId), ("unk_token", vocabulary.UnkId), ("pad_token", vocabulary.PadId)])
        {
            if (Name(vocabulary, id) is { } name)
                tokens[key] = name;
        }

        return tokens;
    }

    private static string? Name(Vocabulary vocabulary, int id) => id >= 0 ? vocabulary.Pieces[id].Text : null;

    private static string Text(JsonObject json) => json.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n";
}
