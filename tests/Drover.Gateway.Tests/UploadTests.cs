using System.Security.Cryptography;
using System.Text;
using Drover.Protocol.Gateway.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Gateway.Tests;

public sealed class UploadTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_file_is_stored_under_its_digest_and_found_there()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync(withTokenizer: false);
        byte[] bytes = Encoding.UTF8.GetBytes("some text");
        string digest = Convert.ToHexStringLower(SHA256.HashData(bytes));
        string key = await UploadAsync(gateway, new UploadHeader { FileName = "a.jsonl", SizeBytes = bytes.Length, Sha256 = digest }, bytes);

        Assert.Equal($"inputs/{digest}/a.jsonl", key);
        Assert.Equal(bytes, await File.ReadAllBytesAsync(Path.Combine(gateway.Objects, key), Cancellation));
        FindInputsResponse found = await gateway.Client.FindInputsAsync(new FindInputsRequest { Keys = { key, "inputs/none/a.jsonl" } }, cancellationToken: Cancellation);
        Assert.Equal([key], found.PresentKeys);
    }

    [Theory]
    [InlineData("some texT", 9, "have SHA-256")]
    [InlineData("some tex", 9, "8 of the promised 9 bytes")]
    [InlineData("some text!", 9, "more than the promised 9 bytes")]
    public async Task Other_bytes_than_promised_are_refused_and_nothing_can_be_seen(string sent, long size, string why)
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync(withTokenizer: false);
        string digest = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes("some text")));
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => UploadAsync(gateway, new UploadHeader { FileName = "a.jsonl", SizeBytes = size, Sha256 = digest }, Encoding.UTF8.GetBytes(sent)));
        Assert.Equal(StatusCode.DataLoss, refused.StatusCode);
        Assert.Contains(why, refused.Status.Detail, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFiles(gateway.Objects, "*", SearchOption.AllDirectories));
    }

    [Theory]
    [InlineData("../a", "")]
    [InlineData("a", "../../b")]
    [InlineData("", "")]
    public async Task A_name_that_leads_out_of_the_inputs_is_refused(string name, string folder)
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync(withTokenizer: false);
        string digest = Convert.ToHexStringLower(SHA256.HashData([]));
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => UploadAsync(gateway, new UploadHeader { FileName = name, Folder = folder, Sha256 = digest }, []));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
    }

    private static async Task<string> UploadAsync(GatewayFixture gateway, UploadHeader header, byte[] bytes)
    {
        using AsyncClientStreamingCall<UploadInputRequest, UploadInputResponse> call = gateway.Client.UploadInput(cancellationToken: Cancellation);
        try
        {
            await call.RequestStream.WriteAsync(new UploadInputRequest { Header = header }, Cancellation);
            foreach (byte[] chunk in bytes.Chunk(4))
                await call.RequestStream.WriteAsync(new UploadInputRequest { Chunk = ByteString.CopyFrom(chunk) }, Cancellation);
            await call.RequestStream.CompleteAsync();
        }
        catch (Exception e) when (e is InvalidOperationException or RpcException)
        {
            // Refused early: the answer says why.
        }

        return (await call.ResponseAsync).Key;
    }
}
