using System.Security.Cryptography;
using System.Text;
using Drover.Errors;
using Drover.Protocol.Gateway.V1;
using Spectre.Console;

namespace Drover.Cli.Inputs;

/// <summary>Puts local files and folders into the object store by content; what is there already is not sent again.</summary>
internal sealed class InputUploader(CliContext context)
{
    private const string StorePrefix = "store:";

    /// <summary>
    /// The object-store key behind what a user wrote: a path of this machine is uploaded; anything else is a key already.
    /// "store:KEY" says that a key is meant where a local path has the same name.
    /// </summary>
    /// <param name="reference">What the user wrote.</param>
    /// <param name="folder">Where relative paths begin.</param>
    /// <exception cref="DroverException">NotFound for what is clearly a path and is not there.</exception>
    public async Task<string> ResolveAsync(string reference, string folder = "")
    {
        if (reference.StartsWith(StorePrefix, StringComparison.Ordinal))
            return reference[StorePrefix.Length..];
        string path = Path.Combine(folder, reference);
        if (reference.Length > 0 && (File.Exists(path) || Directory.Exists(path)))
            return await UploadAsync(path).ConfigureAwait(false);
        if (LooksLikeAPath(reference))
            throw new DroverException(FailureCode.NotFound, "FILE_NOT_FOUND", $"There is no file or folder '{path}'.");
        return reference;
    }

    /// <summary>Each of several references, see <see cref="ResolveAsync"/>.</summary>
    public async Task<IReadOnlyList<string>> ResolveAllAsync(IEnumerable<string> references)
    {
        var keys = new List<string>();
        foreach (string reference in references)
            keys.Add(await ResolveAsync(reference).ConfigureAwait(false));
        return keys;
    }

    /// <summary>Uploads a file or a folder.</summary>
    /// <returns>The key of the file, or the prefix of the folder.</returns>
    public async Task<string> UploadAsync(string path)
    {
        if (File.Exists(path))
        {
            LocalFile file = await LocalFile.ReadAsync(path, Path.GetFileName(path), context.Cancellation).ConfigureAwait(false);
            await SendMissingAsync([file], "", path).ConfigureAwait(false);
            return file.KeyIn("");
        }

        if (!Directory.Exists(path))
            throw new DroverException(FailureCode.NotFound, "FILE_NOT_FOUND", $"There is no file or folder '{path}'.");
        var files = new List<LocalFile>();
        foreach (string inner in Directory.EnumerateFiles(path, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            string relative = Path.GetRelativePath(path, inner).Replace(Path.DirectorySeparatorChar, '/');
            if (!relative.Split('/').Any(part => part.StartsWith('.')))
                files.Add(await LocalFile.ReadAsync(inner, relative, context.Cancellation).ConfigureAwait(false));
        }

        if (files.Count == 0)
            throw new DroverException(FailureCode.InvalidArgument, "FOLDER_EMPTY", $"The folder '{path}' has no files.");
        string listing = string.Concat(files.Select(file => $"{file.Digest}  {file.Name}\n"));
        string digest = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(listing)));
        await SendMissingAsync(files, digest, path).ConfigureAwait(false);
        return $"inputs/{digest}";
    }

    private static bool LooksLikeAPath(string reference) =>
        reference.StartsWith('.') || reference.StartsWith('/') || reference.StartsWith('~') || Path.IsPathRooted(reference);

    private async Task SendMissingAsync(IReadOnlyList<LocalFile> files, string folder, string shown)
    {
        var asked = new FindInputsRequest { Keys = { files.Select(file => file.KeyIn(folder)) } };
        FindInputsResponse answer = await context.Gateway.FindInputsAsync(asked, cancellationToken: context.Cancellation).ConfigureAwait(false);
        var present = answer.PresentKeys.ToHashSet(StringComparer.Ordinal);
        List<LocalFile> missing = [.. files.Where(file => !present.Contains(file.KeyIn(folder)))];
        if (missing.Count == 0)
            return;
        if (!context.IsInteractive)
        {
            foreach (LocalFile file in missing)
                await SendAsync(file, folder, _ => { }).ConfigureAwait(false);
            return;
        }

        await context.Terminal.Progress().Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new TransferSpeedColumn(), new RemainingTimeColumn()).StartAsync(async bars =>
        {
            ProgressTask bar = bars.AddTask($"upload {shown.EscapeMarkup()}", maxValue: Math.Max(1, missing.Sum(file => file.Size)));
            foreach (LocalFile file in missing)
                await SendAsync(file, folder, bytes => bar.Increment(bytes)).ConfigureAwait(false);
            bar.Value = bar.MaxValue;
        }).ConfigureAwait(false);
    }

    private async Task SendAsync(LocalFile file, string folder, Action<int> sent)
    {
        using FileStream stream = File.OpenRead(file.Path);
        await context.Client.UploadAsync(file.HeaderIn(folder), stream, sent, context.Cancellation).ConfigureAwait(false);
    }
}
