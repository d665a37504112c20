using System.Security.Cryptography;
using Drover.Protocol.Checkpoint.V1;
using Grpc.Core;

namespace Drover.Checkpoint.Tests;

/// <summary>What a client has of a model.</summary>
internal sealed class PulledFiles
{
    private readonly Dictionary<string, MemoryStream> _files = [];
    private readonly Dictionary<string, string> _digests = [];

    public int LargestChunk { get; private set; }

    public Dictionary<string, long> Lengths => _files.ToDictionary(f => f.Key, f => f.Value.Length);

    public async Task PullAsync(CheckpointService.CheckpointServiceClient client, PullModelRequest request, int stopAfterChunks = int.MaxValue)
    {
        using AsyncServerStreamingCall<PullModelResponse> call = client.PullModel(request, cancellationToken: RunningService.Cancellation);
        string path = "";
        while (await call.ResponseStream.MoveNext(RunningService.Cancellation))
        {
            PullModelResponse part = call.ResponseStream.Current;
            switch (part.PartCase)
            {
                case PullModelResponse.PartOneofCase.FileStart:
                    path = part.FileStart.Path;
                    _files.TryAdd(path, new MemoryStream());
                    Assert.Equal(part.FileStart.OffsetBytes, _files[path].Length);
                    break;
                case PullModelResponse.PartOneofCase.Chunk:
                    LargestChunk = Math.Max(LargestChunk, part.Chunk.Length);
                    part.Chunk.WriteTo(_files[path]);
                    if (--stopAfterChunks == 0)
                        return;
                    break;
                default:
                    _digests[path] = part.FileEnd.Sha256;
                    break;
            }
        }
    }

    public void Check(Dictionary<string, byte[]> expected)
    {
        Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), _files.Keys.Order(StringComparer.Ordinal));
        foreach ((string path, byte[] bytes) in expected)
        {
            Assert.Equal(bytes, _files[path].ToArray());
            Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(bytes)), _digests[path]);
        }
    }
}
