using System.Net;
using System.Text.Json;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;
using Grpc.Net.Client;
using Grpc.Reflection.V1Alpha;

namespace Drover.Gateway.Tests;

public sealed class ForwardingTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_error_of_a_service_comes_through_as_it_is()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        using GrpcChannel direct = GrpcChannel.ForAddress(gateway.TokenizerAddress);
        var request = new GetExpansionRequest { Name = "jobs/none" };
        RpcException own = await Assert.ThrowsAsync<RpcException>(async () => await new TokenizerService.TokenizerServiceClient(direct).GetExpansionAsync(request, cancellationToken: Cancellation));
        RpcException passed = await Assert.ThrowsAsync<RpcException>(async () => await gateway.Tokenizer.GetExpansionAsync(request, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.NotFound, passed.StatusCode);
        Assert.Equal(own.Status.Detail, passed.Status.Detail);
        Assert.Equal(own.GetRpcStatus(), passed.GetRpcStatus());
        Assert.NotNull(passed.GetRpcStatus());
    }

    [Fact]
    public async Task A_service_that_does_not_answer_is_named()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        using GrpcChannel channel = GrpcChannel.ForAddress(gateway.Address);
        RpcException e = await Assert.ThrowsAsync<RpcException>(async () => await new TrainerService.TrainerServiceClient(channel).GetTrainingJobAsync(new GetTrainingJobRequest { Name = "jobs/x" }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.Unavailable, e.StatusCode);
        Assert.Contains("The service 'trainer' does not answer", e.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_forwarded_watch_may_be_broken_off_and_another_is_passed_on_to_its_end()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        gateway.Script.IsGated = true;
        CreateExpansionResponse created = await gateway.Tokenizer.CreateExpansionAsync(new CreateExpansionRequest { Spec = new ExpansionSpec { Name = "e" } }, cancellationToken: Cancellation);
        var request = new WatchTokenizerJobRequest { Name = created.Expansion.Job.Name };
        using (AsyncServerStreamingCall<WatchTokenizerJobResponse> broken = gateway.Tokenizer.WatchTokenizerJob(request, cancellationToken: Cancellation))
            Assert.True(await broken.ResponseStream.MoveNext(Cancellation));
        gateway.Script.Gate.Release();
        using AsyncServerStreamingCall<WatchTokenizerJobResponse> whole = gateway.Tokenizer.WatchTokenizerJob(request, cancellationToken: Cancellation);
        var revisions = new List<long>();
        while (await whole.ResponseStream.MoveNext(Cancellation))
            revisions.Add(whole.ResponseStream.Current.Event.Revision);
        Assert.Equal([1, 2, 3, 4, 5], revisions);
    }

    [Fact]
    public async Task Status_tells_which_services_answer()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        GetStatusResponse status = await gateway.Client.GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancellation);
        Assert.Equal(["tokenizer", "dataprep", "trainer", "checkpoint"], status.Services.Select(s => s.Service));
        Assert.True(status.Services[0].Serving);
        Assert.False(status.Services[2].Serving);
        Assert.Equal("does not answer", status.Services[2].Message);
    }

    [Fact]
    public async Task The_gateway_speaks_json_over_http()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        Pipeline created = await gateway.CreateAsync(gateway.TwoSteps());
        await gateway.WatchAsync(created.Job.Name);
        using var http = new HttpClient { BaseAddress = new Uri(gateway.HttpAddress) };

        using JsonDocument pipeline = JsonDocument.Parse(await http.GetStringAsync(new Uri($"/v1/{created.Job.Name}", UriKind.Relative), Cancellation));
        Assert.Equal("JOB_STATE_SUCCEEDED", pipeline.RootElement.GetProperty("pipeline").GetProperty("job").GetProperty("state").GetString());
        using HttpResponseMessage missing = await http.GetAsync(new Uri("/v1/jobs/none", UriKind.Relative), Cancellation);
        Assert.Equal(HttpStatusCode.NotFound, missing.StatusCode);
    }

    [Fact]
    public async Task Reflection_lists_the_gateway_and_all_it_passes_on()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync(withTokenizer: false);
        using GrpcChannel channel = GrpcChannel.ForAddress(gateway.Address);
        using AsyncDuplexStreamingCall<ServerReflectionRequest, ServerReflectionResponse> call = new ServerReflection.ServerReflectionClient(channel).ServerReflectionInfo(cancellationToken: Cancellation);
        await call.RequestStream.WriteAsync(new ServerReflectionRequest { ListServices = "" }, Cancellation);
        await call.RequestStream.CompleteAsync();
        Assert.True(await call.ResponseStream.MoveNext(Cancellation));
        string[] services = [.. call.ResponseStream.Current.ListServicesResponse.Service.Select(s => s.Name)];
        Assert.All(
            (string[])["drover.gateway.v1.GatewayService", "drover.tokenizer.v1.TokenizerService", "drover.dataprep.v1.DataPrepService", "drover.trainer.v1.TrainerService", "drover.checkpoint.v1.CheckpointService"],
            service => Assert.Contains(service, services));
    }
}
