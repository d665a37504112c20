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

    /// <summary>The tokenizer a plan was made with; Aborted when another lies there now.</summary>
    public async Task<ITextTokenizer> GetAsync(BuildPlan plan, CancellationToken cancellation)
    {
        await _gate.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            if (_last is { } last && last.Prefix == plan.Tokenizer && last.Tokenizer.ContentHash == plan.TokenizerHash)
                return last.Tokenizer;
            ITextTokenizer tokenizer = await LoadAsync(plan.Tokenizer, cancellation).ConfigureAwait(false);
            return tokenizer.ContentHash == plan.TokenizerHash
                ? tokenizer
                : throw new Errors.DroverException(Errors.FailureCode.FailedPrecondition, "TOKENIZER_CHANGED", $"The tokenizer '{plan.Tokenizer}' changed while '{plan.Dataset}' was being built. Build it again.");
        }
        finally
        {
            _gate.Release();
        }
    }

    public void Dispose() => _gate.Dispose();
}
