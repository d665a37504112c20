using Drover.ObjectStore;

namespace Drover.Formats.HuggingFace;

/// <summary>Tokenizers as Hugging Face folders hold them.</summary>
public static class HuggingFaceTokenizer
{
    private static readonly string[] Files = ["tokenizer.json", "tokenizer.model"];

    /// <summary>Whether a folder of the store has one, in either format.</summary>
    public static async Task<bool> IsInAsync(IObjectStore store, string folder, CancellationToken cancellation)
    {
        foreach (string file in Files)
        {
            if (await store.FindAsync(ObjectKey.Join(folder, file), cancellation).ConfigureAwait(false) is not null)
                return true;
        }

        return false;
    }
}
