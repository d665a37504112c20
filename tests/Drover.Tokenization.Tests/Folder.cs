using Drover.Formats.SentencePiece;
using Drover.ObjectStore;
using Drover.Testing;

namespace Drover.Tokenization.Tests;

/// <summary>A store with one tokenizer in it.</summary>
internal sealed class Folder : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public Folder() => Store = new FolderObjectStore(_folder.Path);

    public IObjectStore Store { get; }

    public static CancellationToken Cancellation => TestContext.Current.CancellationToken;


    public async Task<ITextTokenizer> LoadSharedAsync(string file)
    {
        await PutSharedAsync(file, "tokenizers/base");
        return await TokenizerFolder.LoadAsync(Store, "tokenizers/base", Cancellation);
    }

    public async Task PutSharedAsync(string file, string prefix) =>
        await Store.PutBytesAsync($"{prefix}/{SentencePieceModel.FileName}", await File.ReadAllBytesAsync(SharedData.Require($"tokenizers/{file}"), Cancellation), PutCondition.None, Cancellation);

    public void Dispose() => _folder.Dispose();
}
