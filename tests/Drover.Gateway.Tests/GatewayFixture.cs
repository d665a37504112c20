using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;

namespace Drover.Gateway.Tests;

/// <summary>A gateway and a scripted tokenizer service on free ports of the loopback, which may be stopped and started again.</summary>
internal sealed class GatewayFixture : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string[] _args;
    private GrpcChannel? _channel;
    private WebApplication? _gateway;
    private WebApplication? _tokenizer;
    private WebApplication? _trainer;

    private GatewayFixture(string scheme, string[] settings)
    {
        Address = $"{scheme}://127.0.0.1:{LoopbackPort.Free()}";
        HttpAddress = $"{scheme}://127.0.0.1:{LoopbackPort.Free()}";
        TokenizerAddress = $"{scheme}://127.0.0.1:{LoopbackPort.Free()}";
        _args =
        [
            $"--Services:gateway={Address}", $"--Services:tokenizer={TokenizerAddress}", $"--Services:trainer={scheme}://127.0.0.1:{LoopbackPort.Free()}",
            $"--Gateway:HttpAddress={HttpAddress}", $"--Drover:DataFolder={_folder.Path}", "--Gateway:RetryDelay=00:00:00.010", "--Gateway:RetryDelayMax=00:00:00.100", .. settings,
        ];
    }

    public string Address { get; }

    public string HttpAddress { get; }

    public string TokenizerAddress { get; }

    public Script Script { get; } = new();

    public GatewayService.GatewayServiceClient Client => new(Channel);

    public TokenizerService.TokenizerServiceClient Tokenizer => new(Channel);

    public TrainerService.TrainerServiceClient Trainer => new(Channel);

    public string Objects => _folder["objects"];

    public TemporaryFolder Folder => _folder;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private GrpcChannel Channel => _channel ??= GrpcChannel.ForAddress(Address);

    public static Task<GatewayFixture> StartAsync(bool withTokenizer = true) => StartAsync("http", withTokenizer);

    /// <summary>The same with settings of its own, at http or https addresses.</summary>
    public static async Task<GatewayFixture> StartAsync(string scheme, bool withTokenizer, params string[] settings)
    {
        var fixture = new GatewayFixture(scheme, settings);
        await fixture.StartGatewayAsync();
        if (withTokenizer)
            await fixture.StartTokenizerAsync();
        return fixture;
    }

    public async Task StartGatewayAsync()
    {
        _gateway = GatewayModule.Build(_args);
        await _gateway.StartAsync(Cancellation);
    }

    public async Task StopGatewayAsync()
    {
        _channel?.Dispose();
        _channel = null;
        await StopAsync(_gateway);
        _gateway = null;
    }

    public async Task StartTokenizerAsync(params string[] settings)
    {
        _tokenizer = ScriptedTokenizerService.Build([.. _args, .. settings], Script);
        await _tokenizer.StartAsync(Cancellation);
    }

    public async Task StartTrainerAsync()
    {
        _trainer = ScriptedTrainerService.Build(_args, Script);
        await _trainer.StartAsync(Cancellation);
    }

    public async Task StopTokenizerAsync()
    {
        await StopAsync(_tokenizer);
        _tokenizer = null;
    }

    /// <summary>Two steps: learn a tokenizer from an input, expand it by another.</summary>
    public PipelineSpec TwoSteps()
    {
        Directory.CreateDirectory(Path.Combine(Objects, "inputs"));
        File.WriteAllText(Path.Combine(Objects, "inputs", "corpus.jsonl"), "{}");
        return new PipelineSpec
        {
            Name = "two",
            Inputs = { ["corpus"] = "inputs/corpus.jsonl" },
            Steps =
            {
                new PipelineStep { Name = "learn", TrainTokenizer = new TokenizerTrainingSpec { Sources = { "${inputs.corpus}" }, VocabularySize = 300 } },
                new PipelineStep { Name = "grow", Expand = new ExpansionSpec { BaseTokenizer = "${steps.learn.tokenizer}", Pieces = "${inputs.corpus}" } },
            },
        };
    }

    public async Task<Pipeline> CreateAsync(PipelineSpec spec, string requestId = "", bool dryRun = false) =>
        (await Client.CreatePipelineAsync(new CreatePipelineRequest { Spec = spec, RequestId = requestId, DryRun = dryRun }, cancellationToken: Cancellation)).Pipeline;

    public async Task<Pipeline> GetAsync(string name) =>
        (await Client.GetPipelineAsync(new GetPipelineRequest { Name = name }, cancellationToken: Cancellation)).Pipeline;

    /// <summary>Events after a revision, until one is found or the pipeline ends.</summary>
    public async Task<List<PipelineEvent>> WatchAsync(string name, long from = 0, Func<PipelineEvent, bool>? until = null)
    {
        var events = new List<PipelineEvent>();
        using AsyncServerStreamingCall<WatchPipelineResponse> call = Client.WatchPipeline(new WatchPipelineRequest { Name = name, FromRevision = from }, cancellationToken: Cancellation);
        while (await call.ResponseStream.MoveNext(Cancellation))
        {
            events.Add(call.ResponseStream.Current.Event);
            if (until?.Invoke(events[^1]) == true)
                break;
        }

        return events;
    }

    /// <summary>Waits until an expansion has begun and stands at the gate.</summary>
    public Task<List<PipelineEvent>> UntilExpandingAsync(string name) =>
        WatchAsync(name, 0, e => e.Event.Log?.Message.StartsWith("expands", StringComparison.Ordinal) == true);

    public async Task<IReadOnlyList<Job>> TokenizerJobsAsync() =>
        (await Tokenizer.ListTokenizerJobsAsync(new ListTokenizerJobsRequest(), cancellationToken: Cancellation)).Jobs;

    public async ValueTask DisposeAsync()
    {
        Script.Gate.Release(100);
        await StopGatewayAsync();
        await StopTokenizerAsync();
        await StopAsync(_trainer);
        Script.Gate.Dispose();
        _folder.Dispose();
    }

    private static async Task StopAsync(WebApplication? app)
    {
        if (app is null)
            return;
        await app.StopAsync(CancellationToken.None);
        await app.DisposeAsync();
    }
}
