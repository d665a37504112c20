using Drover.ObjectStore;
using Drover.Tokenization;

namespace Drover.DataPrep.Building;

/// <summary>Loads tokenizers; the one used last is kept, because all tasks of a build use the same.</summary>
internal sealed class TokenizerCache(Func<string, CancellationToken, Task<ITextTokenizer>> load) : IDisposable
{
    private readonly SemaphoreSlim _gate = new(1);
    private (string Prefix, ITextTokenizer Tokenizer)? _last;

    public TokenizerCache(IObjectStore store)
        : this((prefix, cancellation) => TokenizerFolder.LoadAsync(store, prefix, cancellation))
    {
    }

    /// <summary>Reads the tokenizer as it is now.</summary>
    public async Task<ITextTokenizer> LoadAsync(string prefix, CancellationToken cancellation)
    {
        ITextTokenizer tokenizer = await load(prefix, cancellation).ConfigureAwait(false);
        _last = (prefix, tokenizer);
        return tokenizer;
    }

    /// <summary>The tokenizer a plan was made with; FailedPrecondition when another lies there now.</summary>
    public async Task<ITextTokenizer> GetAsync(string prefix, string hash, CancellationToken cancellation)
    {
        await _gate.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            if (_last is { } last && last.Prefix == prefix && last.Tokenizer.ContentHash == hash)
                return last.Tokenizer;
            ITextTokenizer tokenizer = await LoadAsync(prefix, cancellation).ConfigureAwait(false);
            return tokenizer.ContentHash == hash
                ? tokenizer
                : throw new Errors.DroverException(Errors.FailureCode.FailedPrecondition, "TOKENIZER_CHANGED", $"The tokenizer '{prefix}' changed while a dataset was being built with it. Build it again.");
        }
        finally
        {
            _gate.Release();
        }
    }

    public void Dispose() => _gate.Dispose();
}
