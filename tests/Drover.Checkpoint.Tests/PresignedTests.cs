using System.Net;
using System.Net.Http.Headers;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Testing;

namespace Drover.Checkpoint.Tests;

/// <summary>Bytes that come from the object store itself, on a real S3 server where one is named.</summary>
public sealed class PresignedTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Large_files_of_models_come_from_s3_and_what_is_rendered_from_the_service()
    {
        ObjectStoreOptions server = S3Server.Require($"presigned-{Guid.NewGuid():N}");
        await using RunningService service = await RunningService.StartAsync(["--Checkpoint:PresignedAddresses=true", .. S3Server.Settings(server)]);
        string checkpoint = await service.PublishAsync("r", 1);
        Model model = await service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint });
        byte[] weights = await service.Store.ReadAllBytesAsync("models/m/model.safetensors", Cancellation);

        using var http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false });
        using HttpResponseMessage hub = await http.GetAsync($"{service.Hub}/m/resolve/main/model.safetensors", Cancellation);
        Assert.Equal((HttpStatusCode.Found, new Uri(server.S3Endpoint).Authority), (hub.StatusCode, hub.Headers.Location!.Authority));
        Assert.Equal($"\"{model.Files.Single(f => f.Path == "model.safetensors").Sha256}\"", hub.Headers.GetValues("X-Linked-Etag").Single());
        Assert.Equal(weights, await http.GetByteArrayAsync(hub.Headers.Location, Cancellation));
        foreach (string direct in new[] { "m/resolve/main/config.json", "runs/r/resolve/main/model.safetensors" })
        {
            using HttpResponseMessage served = await http.GetAsync($"{service.Hub}/{direct}", Cancellation);
            Assert.Equal(HttpStatusCode.OK, served.StatusCode);
        }

        PresignModelResponse presigned = await service.Client.PresignModelAsync(new PresignModelRequest { Name = "models/m", ContentHash = model.ContentHash }, cancellationToken: Cancellation);
        Assert.Equal(model.Files.Select(f => f.Path), presigned.Files.Select(f => f.Path));
        using var request = new HttpRequestMessage(HttpMethod.Get, presigned.Files.Single(f => f.Path == "model.safetensors").Address) { Headers = { Range = new RangeHeaderValue(100, null) } };
        using HttpResponseMessage part = await http.SendAsync(request, Cancellation);
        Assert.Equal(HttpStatusCode.PartialContent, part.StatusCode);
        Assert.Equal(weights[100..], await part.Content.ReadAsByteArrayAsync(Cancellation));
    }

    [Fact]
    public async Task A_folder_gives_no_addresses()
    {
        await using RunningService service = await RunningService.StartAsync("--Checkpoint:PresignedAddresses=true");
        await service.Store.PutTextAsync("models/m/config.json", "{}", Cancellation);
        Assert.Empty((await service.Client.PresignModelAsync(new PresignModelRequest { Name = "models/m" }, cancellationToken: Cancellation)).Files);
    }
}
