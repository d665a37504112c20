using Drover.Errors;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;
using Drover.ObjectStore;

namespace Drover.Tokenization;

/// <summary>Opens a tokenizer that lies under a prefix of the object store; a Hugging Face model folder is one.</summary>
public static class TokenizerFolder
{
    /// <summary>Hugging Face's settings of a tokenizer.</summary>
    public const string ConfigFile = "tokenizer_config.json";

    /// <summary>Names of special tokens, for older readers.</summary>
    public const string SpecialTokensFile = "special_tokens_map.json";

    /// <summary>Loads <c>tokenizer.json</c>, or <c>tokenizer.model</c> when there is none.</summary>
    /// <exception cref="DroverException">
    /// NotFound when neither file is there; FailedPrecondition naming what is not supported; DataLoss for a damaged file.
    /// </exception>
    public static async Task<ITextTokenizer> LoadAsync(IObjectStore store, string prefix, CancellationToken cancellation) =>
        Create(await ReadAsync(store, prefix, cancellation).ConfigureAwait(false));

    /// <summary>Reads the vocabulary without making a tokenizer of it.</summary>
    public static async Task<Vocabulary> ReadAsync(IObjectStore store, string prefix, CancellationToken cancellation)
    {
        string jsonKey = ObjectKey.Join(prefix, TokenizerJsonModel.FileName);
        string modelKey = ObjectKey.Join(prefix, SentencePieceModel.FileName);
        Vocabulary? vocabulary = null;
        if (await FindAsync(store, modelKey, cancellation).ConfigureAwait(false) is { } model)
        {
            vocabulary = TiktokenRanks.Looks(model)
                ? VocabularyReader.FromRanks(TiktokenRanks.Parse(model, modelKey))
                : VocabularyReader.FromSentencePiece(SentencePieceModel.Parse(model, modelKey));
        }

        if (await FindAsync(store, jsonKey, cancellation).ConfigureAwait(false) is { } json)
        {
            Vocabulary explicitOne = VocabularyReader.FromJson(TokenizerJsonReader.Parse(json, jsonKey), jsonKey);
            // What transformers reads is tokenizer.json; the model's own settings are kept where both say the same.
            if (vocabulary is null || !SameTokenizer(vocabulary, explicitOne))
                vocabulary = explicitOne;
        }

        if (vocabulary is null)
            throw new DroverException(FailureCode.NotFound, "TOKENIZER_NOT_FOUND", $"There is no tokenizer at '{prefix}': neither {TokenizerJsonModel.FileName} nor {SentencePieceModel.FileName} is there.");
        foreach (string file in (string[])[SpecialTokensFile, ConfigFile])
        {
            string key = ObjectKey.Join(prefix, file);
            if (await FindAsync(store, key, cancellation).ConfigureAwait(false) is { } config)
                vocabulary = VocabularyReader.WithConfig(vocabulary, config, key);
        }

        return vocabulary;
    }

    /// <summary>A tokenizer of a vocabulary.</summary>
    public static ITextTokenizer Create(Vocabulary vocabulary) => CreateBpe(vocabulary);

    internal static BpeTokenizer CreateBpe(Vocabulary vocabulary) =>
        vocabulary.Family == TokenizerFamily.SentencePieceBpe ? new SentencePieceTokenizer(vocabulary) : new ByteLevelTokenizer(vocabulary);

    /// <summary>
    /// Whether a tokenizer.json says what the model beside it says: the same pieces, the same merges, in the order of the scores.
    /// Merges of equal scores may stand in any order.
    /// </summary>
    internal static bool SameTokenizer(Vocabulary model, Vocabulary json)
    {
        bool same = model.Family == json.Family && model.Prefix == json.Prefix && model.IgnoreMerges == json.IgnoreMerges && model.Words == json.Words && model.NormalizesToC == json.NormalizesToC
            && model.Pieces.Select(p => (p.Text, p.Kind)).SequenceEqual(json.Pieces.Select(p => (p.Text, p.Kind)))
            && model.Merges.Select(m => (m.Left, m.Right)).ToHashSet().SetEquals(json.Merges.Select(m => (m.Left, m.Right)));
        for (int i = 1; same && i < json.Merges.Count; i++)
            same = model.Pieces[json.Merges[i].Merged].Score <= model.Pieces[json.Merges[i - 1].Merged].Score;
        return same;
    }

    private static async ValueTask<byte[]?> FindAsync(IObjectStore store, string key, CancellationToken cancellation) =>
        await store.FindAsync(key, cancellation).ConfigureAwait(false) is null ? null : await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false);
}
