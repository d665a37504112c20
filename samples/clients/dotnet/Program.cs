// Drover from .NET: uploads a corpus, learns a tokenizer from it in a pipeline of one step, and follows it.
//
//   DROVER_GATEWAY=http://127.0.0.1:7500 dotnet run --project samples/clients/dotnet -- corpus.jsonl 320
using System.Globalization;
using Drover.Client;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Grpc.Core;

if (args is not [string file, string size])
{
    await Console.Error.WriteLineAsync("usage: dotnet run --project samples/clients/dotnet -- CORPUS.jsonl VOCABULARY_SIZE");
    return 2;
}

try
{
    using var drover = DroverClient.FromEnvironment();
    string corpus = await drover.UploadAsync(file);
    var spec = new PipelineSpec
    {
        Name = "sample",
        Inputs = { ["corpus"] = corpus },
        Steps =
        {
            new PipelineStep { Name = "learn", TrainTokenizer = new TokenizerTrainingSpec { Sources = { "${inputs.corpus}" }, VocabularySize = int.Parse(size, CultureInfo.InvariantCulture) } },
        },
    };
    // The same request id twice is one pipeline: safe to send again when the answer was lost.
    var request = new CreatePipelineRequest { RequestId = Guid.NewGuid().ToString(), Spec = spec };
    Pipeline pipeline = (await drover.Gateway.CreatePipelineAsync(request)).Pipeline;
    Console.WriteLine(pipeline.Job.Name);
    await foreach (PipelineEvent update in drover.WatchPipelineAsync(pipeline.Job.Name))
    {
        if (update.Event.EventCase == JobEvent.EventOneofCase.StateChanged)
            Console.WriteLine($"[{(update.Step.Length > 0 ? update.Step : "pipeline")}] {update.Event.StateChanged}");
    }

    pipeline = (await drover.Gateway.GetPipelineAsync(new GetPipelineRequest { Name = pipeline.Job.Name })).Pipeline;
    if (pipeline.Job.State != JobState.Succeeded)
    {
        await Console.Error.WriteLineAsync($"error: {pipeline.Job.Failure?.Message ?? $"{pipeline.Job.State}"}");
        return 1;
    }

    Console.WriteLine(pipeline.Steps[0].Outputs["tokenizer"]);
    return 0;
}
catch (RpcException e)
{
    await Console.Error.WriteLineAsync(e.StatusCode == StatusCode.Unavailable
        ? $"error: the gateway does not answer ({e.Status.Detail}). Is it there? DROVER_GATEWAY has its address."
        : $"error: {e.Status.Detail}");
    return 1;
}
