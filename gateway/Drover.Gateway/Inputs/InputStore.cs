using Drover.Errors;
using Drover.ObjectStore;
using Drover.Protocol.Gateway.V1;
using Grpc.Core;

namespace Drover.Gateway.Inputs;

/// <summary>Files that users bring: stored under "inputs/", by content.</summary>
internal sealed class InputStore(IObjectStore store)
{
    private const int Sha256Characters = 64;

    /// <summary>Stores one file. It can be seen only after its size and SHA-256 turned out to be the promised ones.</summary>
    /// <returns>Its key.</returns>
    /// <exception cref="DroverException">InvalidArgument for a bad header, DataLoss when other bytes arrive.</exception>
    public async Task<string> UploadAsync(IAsyncStreamReader<UploadInputRequest> parts, CancellationToken cancellation)
    {
        if (!await parts.MoveNext(cancellation).ConfigureAwait(false) || parts.Current.PartCase != UploadInputRequest.PartOneofCase.Header)
            throw new DroverException(FailureCode.InvalidArgument, "HEADER_MISSING", "The first message of an upload is its header.");
        UploadHeader header = parts.Current.Header;
        string key = KeyOf(header);
        var bytes = new VerifiedUploadStream(parts, header);
        await using (bytes.ConfigureAwait(false))
            await store.PutAsync(key, bytes, PutCondition.None, cancellation).ConfigureAwait(false);
        return key;
    }

    /// <summary>Those of the keys that are there.</summary>
    public async Task<IReadOnlyList<string>> FindAsync(IEnumerable<string> keys, CancellationToken cancellation)
    {
        var present = new List<string>();
        foreach (string key in keys)
        {
            if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is not null)
                present.Add(key);
        }

        return present;
    }

    /// <summary>Whether an object, or anything below it as a folder, is there.</summary>
    public async Task<bool> ExistsAsync(string reference, CancellationToken cancellation)
    {
        if (await store.FindAsync(reference, cancellation).ConfigureAwait(false) is not null)
            return true;
        await foreach (ObjectInfo _ in store.ListAsync(reference + "/", cancellation).ConfigureAwait(false))
            return true;
        return false;
    }

    private static string KeyOf(UploadHeader header)
    {
        if (header.FileName.Length == 0 || header.FileName.Contains('/'))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_FILE_NAME", $"file_name '{header.FileName}' must be a name without folders.");
        if (header.SizeBytes < 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_SIZE", $"size_bytes of '{header.FileName}' is {header.SizeBytes}.");
        if (header.Sha256.Length != Sha256Characters || !header.Sha256.All(char.IsAsciiHexDigitLower))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_DIGEST", $"sha256 of '{header.FileName}' must be {Sha256Characters} lower-case hex digits.");
        return ObjectKey.Check(ObjectKey.Join("inputs", header.Folder.Length > 0 ? header.Folder : header.Sha256, header.FileName));
    }
}
