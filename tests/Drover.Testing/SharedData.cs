using Xunit;

namespace Drover.Testing;

/// <summary>
/// Real files (tokenizers, text, conversations, a small LLaMA) that lie beside the repository in <c>../shared/data</c> and
/// are not part of it. Tests that need one skip, saying so, where it is absent. DROVER_SHARED names another place.
/// </summary>
public static class SharedData
{
    /// <summary>Path of a file of the shared data; skips the running test when it is not there.</summary>
    /// <param name="relative">E.g. "tokenizers/llama2.tokenizer.model".</param>
    public static string Require(string relative)
    {
        string? path = Find(relative);
        Assert.SkipWhen(path is null, $"needs the shared file '{relative}', which is not on this machine");
        return path!;
    }

    /// <summary>Path of a file or folder of the shared data, or null.</summary>
    public static string? Find(string relative)
    {
        string? root = Environment.GetEnvironmentVariable("DROVER_SHARED");
        for (string? folder = AppContext.BaseDirectory; root is null && folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (Directory.Exists(Path.Combine(folder, "shared", "data")))
                root = Path.Combine(folder, "shared");
        }

        string path = Path.Combine(root ?? "/nowhere", "data", relative);
        return File.Exists(path) || Directory.Exists(path) ? path : null;
    }
}
