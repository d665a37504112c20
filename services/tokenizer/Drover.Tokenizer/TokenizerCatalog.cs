using System.Collections.Concurrent;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;
using Drover.ObjectStore;
using Drover.Tokenization;

namespace Drover.Tokenizer;

/// <summary>Loaded tokenizers. One that was overwritten in the store is loaded again: its files' tags are part of the key.</summary>
internal sealed class TokenizerCatalog(IObjectStore store)
{
    private const int MaxLoaded = 8;
    private static readonly string[] Files = [TokenizerJsonModel.FileName, SentencePieceModel.FileName, TokenizerFolder.ConfigFile, TokenizerFolder.SpecialTokensFile];
    private readonly ConcurrentDictionary<string, ITextTokenizer> _loaded = new(StringComparer.Ordinal);

    public async Task<ITextTokenizer> GetAsync(string reference, CancellationToken cancellation)
    {
        ObjectKey.Check(reference);
        string key = reference;
        foreach (string file in Files)
            key += $"|{(await store.FindAsync(ObjectKey.Join(reference, file), cancellation).ConfigureAwait(false))?.Tag}";
        if (_loaded.TryGetValue(key, out ITextTokenizer? tokenizer))
            return tokenizer;
        tokenizer = await TokenizerFolder.LoadAsync(store, reference, cancellation).ConfigureAwait(false);
        if (_loaded.Count >= MaxLoaded)
            _loaded.Clear();
        return _loaded.GetOrAdd(key, tokenizer);
    }
}
