using Drover.ObjectStore;

namespace Drover.Tokenization;

/// <summary>Opens a tokenizer that lies under a prefix of the object store; a Hugging Face model folder is one.</summary>
public static class TokenizerFolder
{
    /// <summary>Loads <c>tokenizer.json</c>, or <c>tokenizer.model</c> when there is none.</summary>
    /// <exception cref="Drover.Errors.DroverException">
    /// NotFound when neither file is there; FailedPrecondition naming what is not supported; DataLoss for a damaged file.
    /// </exception>
    public static Task<ITextTokenizer> LoadAsync(IObjectStore store, string prefix, CancellationToken cancellation) =>
        throw new NotImplementedException($"{store} {prefix} {cancellation}");
}
