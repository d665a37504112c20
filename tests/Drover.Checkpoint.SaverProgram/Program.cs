using Drover.Checkpoint;
using Drover.Checkpoint.Tests;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

// Saves one checkpoint after the other, as a run does, and serves them itself: whoever kills it kills both sides of a save. Arguments:
// the address of its service, the size of a checkpoint (see TestCheckpoint.ConfigOf), then settings of a service. Its jobs lie apart: those
// of a data folder belong to one process.
const string dataFolder = "--Drover:DataFolder=";
string jobs = Path.Combine(args.First(a => a.StartsWith(dataFolder, StringComparison.Ordinal))[dataFolder.Length..], "saver.db");
await using WebApplication service = CheckpointModule.Build([$"--Services:checkpoint={args[0]}", "--Checkpoint:HubAddress=", $"--Jobs:DatabasePath={jobs}", .. args[2..]]);
await service.StartAsync();
using var channel = GrpcChannel.ForAddress(args[0]);
var client = new CheckpointService.CheckpointServiceClient(channel);
IObjectStore store = service.Services.GetRequiredService<IObjectStore>();
await client.SetRetentionAsync(new SetRetentionRequest { Run = "killed", Retention = new RetentionSpec { KeepLast = 2 } });
long step = 0;
try
{
    step = (await client.GetLatestCheckpointAsync(new GetLatestCheckpointRequest { Run = "killed" })).Checkpoint.Step;
}
catch (RpcException e) when (e.StatusCode == StatusCode.NotFound)
{
    // The first.
}

for (bool first = true; ; first = false)
{
    string checkpoint = await TestCheckpoint.WriteAsync(store, "killed", ++step, TestCheckpoint.ConfigOf(args[1]), null, "{}", CancellationToken.None);
    await client.PublishCheckpointAsync(new PublishCheckpointRequest { Checkpoint = checkpoint });
    // From now on it may be killed: each life gets further by one at least.
    if (first)
        Console.WriteLine("saving");
}
