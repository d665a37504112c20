using Drover.Errors;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Google.Protobuf;

namespace Drover.Checkpoint.Models;

/// <summary>Sends a model's files, whole or from an offset, each with its digest at the end.</summary>
internal sealed class ModelPull(IObjectStore store, ModelCatalog models, CheckpointOptions options)
{
    private static readonly TimeSpan PresignedFor = TimeSpan.FromHours(1);

    /// <summary>Largest chunk, bytes: what .NET clients take without the heap of large objects, which is cleared and collected whole.</summary>
    public const int ChunkBytes = 64 << 10;

    private const int ReadBytes = 1 << 20;

    /// <summary>Sends what is asked for.</summary>
    /// <param name="request">The model, the content expected, the files and offsets.</param>
    /// <param name="send">Takes one part after the other.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="DroverException">
    /// NotFound for a model or file; OutOfRange for an offset past the end; Aborted when the content is not, or is no longer, what was asked for.
    /// </exception>
    public async Task SendAsync(PullModelRequest request, Func<PullModelResponse, Task> send, CancellationToken cancellation)
    {
        (Model model, IReadOnlyDictionary<string, string> tags) = await models.GetFilesAsync(request.Name, cancellation).ConfigureAwait(false);
        if (request.ContentHash.Length > 0 && request.ContentHash != model.ContentHash)
            throw Replaced(model.Name);
        List<(ModelFile File, long Offset)> wanted = request.Files.Count == 0
            ? [.. model.Files.Select(f => (f, 0L))]
            : [.. request.Files.Select(r => (Find(model, r), r.OffsetBytes))];
        foreach ((ModelFile file, long offset) in wanted)
        {
            await send(new PullModelResponse { FileStart = new FileStart { Path = file.Path, OffsetBytes = offset, SizeBytes = file.SizeBytes } }).ConfigureAwait(false);
            await SendBytesAsync(model, file, offset, tags[file.Path], send, cancellation).ConfigureAwait(false);
            await send(new PullModelResponse { FileEnd = new FileEnd { Sha256 = file.Sha256 } }).ConfigureAwait(false);
        }
    }

    /// <summary>Addresses of the object store for a model's files; none where it gives none.</summary>
    /// <exception cref="DroverException">NotFound; Aborted when the content is not what was asked for.</exception>
    public async Task<IReadOnlyList<PresignedFile>> PresignAsync(PresignModelRequest request, CancellationToken cancellation)
    {
        Model model = await models.GetAsync(request.Name, cancellation).ConfigureAwait(false);
        if (request.ContentHash.Length > 0 && request.ContentHash != model.ContentHash)
            throw Replaced(model.Name);
        var files = new List<PresignedFile>();
        foreach (ModelFile file in model.Files)
        {
            if (await AddressOfAsync(ObjectKey.Join(model.Name, file.Path), cancellation).ConfigureAwait(false) is { } address)
                files.Add(new PresignedFile { Path = file.Path, Address = address.AbsoluteUri });
        }

        return files;
    }

    /// <summary>The object store's address of an object, or null where clients are not sent there.</summary>
    public async ValueTask<Uri?> AddressOfAsync(string key, CancellationToken cancellation) =>
        options.PresignedAddresses ? await store.PresignAsync(key, PresignedFor, cancellation).ConfigureAwait(false) : null;

    private async Task SendBytesAsync(Model model, ModelFile file, long offset, string tag, Func<PullModelResponse, Task> send, CancellationToken cancellation)
    {
        string key = $"{model.Name}/{file.Path}";
        if ((await store.FindAsync(key, cancellation).ConfigureAwait(false))?.Tag != tag)
            throw Replaced(model.Name);
        Stream stream = await store.OpenReadAsync(key, offset, file.SizeBytes - offset, cancellation).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            byte[] current = new byte[Math.Min(ReadBytes, file.SizeBytes - offset)], next = new byte[current.Length];
            long left = file.SizeBytes - offset;
            ValueTask<int> Read(byte[] buffer) => stream.ReadAtLeastAsync(buffer, (int)Math.Min(buffer.Length, left), throwOnEndOfStream: false, cancellation);
            int count = left > 0 ? await Read(current).ConfigureAwait(false) : 0;
            while (left > 0)
            {
                if (count == 0)
                    throw Replaced(model.Name);
                left -= count;
                // The next piece is read while this one is sent. Whoever pulls holds the file against its digest: here it was when the object was
                // first asked for, and its tag says that it is still that object.
                Task<int> reading = left > 0 ? Read(next).AsTask() : Task.FromResult(0);
                try
                {
                    // Sent means serialized: the buffer is free again.
                    for (int from = 0; from < count; from += ChunkBytes)
                        await send(new PullModelResponse { Chunk = UnsafeByteOperations.UnsafeWrap(current.AsMemory(from, Math.Min(ChunkBytes, count - from))) }).ConfigureAwait(false);
                }
                catch
                {
                    await ((Task)reading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    throw;
                }

                count = await reading.ConfigureAwait(false);
                (current, next) = (next, current);
            }
        }
    }

    private static ModelFile Find(Model model, FileRange range)
    {
        ModelFile file = model.Files.FirstOrDefault(f => f.Path == range.Path)
            ?? throw new DroverException(FailureCode.NotFound, "FILE_NOT_FOUND", $"The model '{model.Name}' has no file '{range.Path}'.");
        if (range.OffsetBytes < 0 || range.OffsetBytes > file.SizeBytes)
            throw new DroverException(FailureCode.OutOfRange, "OFFSET_PAST_END", $"'{range.Path}' of '{model.Name}' has {file.SizeBytes} bytes; offset_bytes is {range.OffsetBytes}. Pull it again from the start.");
        return file;
    }

    private static DroverException Replaced(string name) =>
        new(FailureCode.Aborted, "MODEL_REPLACED", $"The model '{name}' is not, or no longer, the one asked for. Ask for it anew with GetModel, drop what was pulled, and pull again.");
}
