using Drover.Client;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Grpc.Core;

namespace Drover.Benchmarks.Gateway;

/// <summary>One client: its own connection, its own key.</summary>
internal sealed class LoadClient(string address, string key, int number, string input, string model, Latencies latencies)
{
    private readonly Random _random = new(number);

    /// <summary>Works until the end; a round that has begun is finished.</summary>
    public async Task RunAsync(CancellationToken end)
    {
        using var drover = new DroverClient(address, key);
        for (int round = 0; !end.IsCancellationRequested; round++)
        {
            try
            {
                // Not all at once, and as people do: with pauses.
                await Task.Delay(TimeSpan.FromSeconds(_random.NextDouble() * (round == 0 ? 10 : 20)), end);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            try
            {
                await RoundAsync(drover, round);
            }
            catch (Exception e) when (e is RpcException or InvalidDataException)
            {
                latencies.Fail(e.Message);
            }
        }
    }

    private async Task RoundAsync(DroverClient drover, int round)
    {
        var spec = new PipelineSpec
        {
            Name = $"load-{number}-{round}",
            Inputs = { ["corpus"] = input },
            Steps = { new PipelineStep { Name = "learn", TrainTokenizer = new TokenizerTrainingSpec { Sources = { "${inputs.corpus}" }, VocabularySize = 300 } } },
        };
        string name = "";
        await latencies.TimeAsync("submit", async () => name = (await drover.Gateway.CreatePipelineAsync(new CreatePipelineRequest { RequestId = Guid.NewGuid().ToString(), Spec = spec })).Pipeline.Job.Name);
        await latencies.TimeAsync("watch to its end", async () =>
        {
            long revision = 0;
            JobState last = JobState.Unspecified;
            await foreach (PipelineEvent update in drover.WatchPipelineAsync(name))
            {
                if (update.Revision != ++revision)
                    throw new InvalidDataException($"{name}: revision {update.Revision} came after {revision - 1}");
                if (update.Step.Length == 0 && update.Event.EventCase == JobEvent.EventOneofCase.StateChanged)
                    last = update.Event.StateChanged;
            }

            if (last != JobState.Succeeded)
                throw new InvalidDataException($"{name} ended as {last}");
        });
        await latencies.TimeAsync("list", async () => await drover.Gateway.ListPipelinesAsync(new ListPipelinesRequest { PageSize = 20 }));
        await latencies.TimeAsync("pull", async () =>
        {
            Model found = (await drover.Checkpoint.GetModelAsync(new GetModelRequest { Name = model })).Model;
            using AsyncServerStreamingCall<PullModelResponse> call = drover.Checkpoint.PullModel(new PullModelRequest { Name = model, ContentHash = found.ContentHash });
            long bytes = 0;
            while (await call.ResponseStream.MoveNext(CancellationToken.None))
                bytes += call.ResponseStream.Current.Chunk?.Length ?? 0;
            if (bytes != found.SizeBytes)
                throw new InvalidDataException($"{model}: {bytes} bytes of {found.SizeBytes}");
        });
    }
}
