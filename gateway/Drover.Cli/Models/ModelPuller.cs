using System.Security.Cryptography;
using Drover.Errors;
using Drover.Protocol.Checkpoint.V1;
using Grpc.Core;

namespace Drover.Cli.Models;

/// <summary>
/// Fetches a model's files into a folder. A file grows as "NAME.part", is checked against its digest, and only then gets
/// its name: what is there under its name is whole. A broken pull goes on where it was; what is there is not fetched again. Several files
/// come at once, each from the object store itself where the service gives an address there that answers, else through the service.
/// </summary>
internal sealed class ModelPuller(CheckpointService.CheckpointServiceClient client, CancellationToken cancellation)
{
    private const int Attempts = 8;
    private const int AtOnce = 4;
    private readonly Lock _lock = new();

    /// <summary>Fetches what is missing.</summary>
    /// <param name="name">The model, e.g. "models/my-model".</param>
    /// <param name="folder">Made when it is not there.</param>
    /// <param name="onStart">Told the model and how many bytes are to be fetched.</param>
    /// <param name="onBytes">Told of every piece that arrived.</param>
    /// <returns>The model, and how many bytes came over the wire.</returns>
    public async Task<(Model Model, long Fetched)> PullAsync(string name, string folder, Action<Model, long> onStart, Action<int> onBytes)
    {
        Model model = (await client.GetModelAsync(new GetModelRequest { Name = name }, cancellationToken: cancellation).ConfigureAwait(false)).Model;
        Directory.CreateDirectory(folder);
        long fetched = 0;
        using ModelAddresses addresses = await ModelAddresses.FindAsync(client, model, cancellation).ConfigureAwait(false);
        for (int attempt = 1; ; attempt++)
        {
            List<PartialFile> missing = await MissingAsync(model, folder).ConfigureAwait(false);
            try
            {
                if (attempt == 1)
                    onStart(model, missing.Sum(file => file.Expected.SizeBytes - file.Length));
                if (missing.Count == 0)
                    return (model, fetched);
                void Count(int bytes)
                {
                    lock (_lock)
                    {
                        fetched += bytes;
                        attempt = 1;
                        onBytes(bytes);
                    }
                }

                // The largest first: the last one to end is then a small one.
                await Parallel.ForEachAsync(missing.OrderByDescending(file => file.Expected.SizeBytes - file.Length), new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellation }, async (file, stop) =>
                {
                    bool isResumed = file.Length > 0;
                    try
                    {
                        await FetchAsync(model, addresses, file, Count, stop).ConfigureAwait(false);
                    }
                    catch (DroverException e) when (e.Reason == PartialFile.Damaged && isResumed)
                    {
                        // What an earlier pull left may be what is damaged. It was thrown away: once more, from the beginning.
                        await FetchAsync(model, addresses, file, Count, stop).ConfigureAwait(false);
                    }
                }).ConfigureAwait(false);
                return (model, fetched);
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.Unavailable && attempt < Attempts && !cancellation.IsCancellationRequested && fetched > 0)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(200 << attempt), cancellation).ConfigureAwait(false);
            }
            finally
            {
                foreach (PartialFile file in missing)
                    file.Dispose();
            }
        }
    }

    private async Task<List<PartialFile>> MissingAsync(Model model, string folder)
    {
        var missing = new List<PartialFile>();
        try
        {
            foreach (ModelFile file in model.Files)
            {
                string path = PathOf(folder, file.Path);
                if (!await IsWholeAsync(path, file).ConfigureAwait(false))
                    missing.Add(await PartialFile.OpenAsync(path, file, cancellation).ConfigureAwait(false));
            }
        }
        catch
        {
            missing.ForEach(file => file.Dispose());
            throw;
        }

        return missing;
    }

    private async Task FetchAsync(Model model, ModelAddresses addresses, PartialFile file, Action<int> onBytes, CancellationToken stop)
    {
        if (!await addresses.TryFetchAsync(file, onBytes, stop).ConfigureAwait(false))
            await FetchAsync(model, file, onBytes, stop).ConfigureAwait(false);
    }

    private async Task FetchAsync(Model model, PartialFile file, Action<int> onBytes, CancellationToken stop)
    {
        var request = new PullModelRequest { Name = model.Name, ContentHash = model.ContentHash, Files = { new FileRange { Path = file.Expected.Path, OffsetBytes = file.Length } } };
        using AsyncServerStreamingCall<PullModelResponse> call = client.PullModel(request, cancellationToken: stop);
        while (await call.ResponseStream.MoveNext(stop).ConfigureAwait(false))
        {
            PullModelResponse part = call.ResponseStream.Current;
            if (part.PartCase == PullModelResponse.PartOneofCase.Chunk)
            {
                await file.AppendAsync(part.Chunk.Memory, stop).ConfigureAwait(false);
                onBytes(part.Chunk.Length);
            }
            else if (part.PartCase == PullModelResponse.PartOneofCase.FileEnd)
            {
                file.Complete();
                return;
            }
        }

        throw new DroverException(FailureCode.DataLoss, "PULL_INCOMPLETE", $"The pull of '{model.Name}' ended without {file.Expected.Path}. Pull again: what is there is kept.");
    }

    private async Task<bool> IsWholeAsync(string path, ModelFile file)
    {
        if (!File.Exists(path) || new FileInfo(path).Length != file.SizeBytes)
            return false;
        // Hashing reads 4 KiB at a time: out of this buffer.
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20);
        return Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, cancellation).ConfigureAwait(false)) == file.Sha256;
    }

    // What a server names must stay in the folder.
    private static string PathOf(string folder, string path) =>
        path.Length > 0 && !Path.IsPathRooted(path) && path.Split('/').All(part => part is not ("" or "." or ".."))
            ? Path.Combine(folder, path)
            : throw new DroverException(FailureCode.DataLoss, "INVALID_MODEL_FILE", $"The model names a file '{path}', which is no path inside a folder.");
}
