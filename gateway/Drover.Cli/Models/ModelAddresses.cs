using System.Net;
using System.Net.Http.Headers;
using Drover.Protocol.Checkpoint.V1;
using Grpc.Core;

namespace Drover.Cli.Models;

/// <summary>Where the object store itself gives a model's files, if it does and this machine reaches it.</summary>
internal sealed class ModelAddresses : IDisposable
{
    private const int BufferBytes = 1 << 20;
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(30) };
    private readonly Dictionary<string, Uri> _addresses;

    private ModelAddresses(Dictionary<string, Uri> addresses) => _addresses = addresses;

    /// <summary>Asks for them. A service that gives none, or knows nothing of it, is one to pull through.</summary>
    public static async Task<ModelAddresses> FindAsync(CheckpointService.CheckpointServiceClient client, Model model, CancellationToken cancellation)
    {
        try
        {
            PresignModelResponse answer = await client.PresignModelAsync(new PresignModelRequest { Name = model.Name, ContentHash = model.ContentHash }, cancellationToken: cancellation).ConfigureAwait(false);
            return new ModelAddresses(answer.Files.ToDictionary(f => f.Path, f => new Uri(f.Address), StringComparer.Ordinal));
        }
        catch (RpcException e) when (e.StatusCode is StatusCode.Unimplemented or StatusCode.Unavailable)
        {
            return new ModelAddresses([]);
        }
    }

    /// <summary>Fetches what a file lacks.</summary>
    /// <returns>False where that did not get to the end: what came is in the file, and the rest is to be fetched otherwise.</returns>
    /// <exception cref="Errors.DroverException">DataLoss when the bytes are not those of the model.</exception>
    public async Task<bool> TryFetchAsync(PartialFile file, Action<int> onBytes, CancellationToken cancellation)
    {
        Uri? address;
        lock (_addresses)
        {
            if (!_addresses.TryGetValue(file.Expected.Path, out address))
                return false;
        }

        try
        {
            if (file.Length < file.Expected.SizeBytes)
                await FetchAsync(address, file, onBytes, cancellation).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            // Not asked again: an address that did not answer would cost every file its patience.
            lock (_addresses)
                _addresses.Remove(file.Expected.Path);
            return false;
        }

        file.Complete();
        return true;
    }

    public void Dispose() => _http.Dispose();

    private async Task FetchAsync(Uri address, PartialFile file, Action<int> onBytes, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, address) { Headers = { Range = new RangeHeaderValue(file.Length, null) } };
        using HttpResponseMessage response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation).ConfigureAwait(false);
        if (response.StatusCode != HttpStatusCode.PartialContent || response.Content.Headers.ContentRange?.From != file.Length || response.Content.Headers.ContentRange.Length != file.Expected.SizeBytes)
            throw new HttpRequestException($"it answered {(int)response.StatusCode}");
        Stream body = await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false);
        await using (body.ConfigureAwait(false))
        {
            byte[] buffer = new byte[BufferBytes];
            for (int count; (count = await body.ReadAsync(buffer, cancellation).ConfigureAwait(false)) > 0; onBytes(count))
                await file.AppendAsync(buffer.AsMemory(0, count), cancellation).ConfigureAwait(false);
        }

        if (file.Length != file.Expected.SizeBytes)
            throw new HttpRequestException("it ended early");
    }
}
