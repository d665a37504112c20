using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Testing;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace Drover.Checkpoint.Tests;

/// <summary>The real service on a free port with a folder of its own, and what tests need to fill it.</summary>
internal sealed class RunningService : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly WebApplication _app;
    private readonly GrpcChannel _channel;

    private RunningService(string[] settings)
    {
        string address = $"http://127.0.0.1:{LoopbackPort.Free()}";
        Hub = $"http://127.0.0.1:{LoopbackPort.Free()}";
        _app = CheckpointModule.Build([$"--Services:checkpoint={address}", $"--Checkpoint:HubAddress={Hub}", $"--Drover:DataFolder={_folder.Path}", .. settings]);
        _channel = GrpcChannel.ForAddress(address);
        Client = new CheckpointService.CheckpointServiceClient(_channel);
        Store = _app.Services.GetRequiredService<IObjectStore>();
    }

    public IObjectStore Store { get; }

    public CheckpointService.CheckpointServiceClient Client { get; }

    /// <summary>Address of the Hub's API.</summary>
    public string Hub { get; }

    public static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static async Task<RunningService> StartAsync(params string[] settings)
    {
        var service = new RunningService(settings);
        await service._app.StartAsync(Cancellation);
        return service;
    }

    public async ValueTask DisposeAsync()
    {
        _channel.Dispose();
        await _app.StopAsync(CancellationToken.None);
        await _app.DisposeAsync();
        _folder.Dispose();
    }

    public string PathOf(string key) => _folder[$"objects/{key}"];

    /// <summary>Changes one byte of an object in place, as a failing disk does.</summary>
    public void Flip(string key, long position)
    {
        using FileStream file = File.Open(PathOf(key), FileMode.Open);
        file.Position = position < 0 ? file.Length + position : position;
        int value = file.ReadByte();
        file.Position--;
        file.WriteByte((byte)(value ^ 0x10));
    }

    /// <summary>Writes a checkpoint as two ranks that cut every matrix by rows, up to the pending manifest.</summary>
    public Task<string> WriteCheckpointAsync(string run, long step, bool tied = false, Func<string, string, bool>? leaveOut = null, string runSpec = "{}") =>
        TestCheckpoint.WriteAsync(Store, run, step, TestCheckpoint.Config(tied), leaveOut, runSpec, Cancellation);

    /// <summary>Writes and publishes.</summary>
    public async Task<string> PublishAsync(string run, long step, bool tied = false, string runSpec = "{}")
    {
        string prefix = await WriteCheckpointAsync(run, step, tied, runSpec: runSpec);
        await Client.PublishCheckpointAsync(new PublishCheckpointRequest { Checkpoint = prefix }, cancellationToken: Cancellation);
        return prefix;
    }

    /// <summary>Runs an export to its end.</summary>
    public async Task<Export> ExportAsync(ExportSpec spec)
    {
        string job = (await Client.CreateExportAsync(new CreateExportRequest { Spec = spec }, cancellationToken: Cancellation)).Export.Job.Name;
        using AsyncServerStreamingCall<WatchExportResponse> events = Client.WatchExport(new WatchExportRequest { Name = job }, cancellationToken: Cancellation);
        while (await events.ResponseStream.MoveNext(Cancellation))
        {
            // Until the job ends.
        }

        return (await Client.GetExportAsync(new GetExportRequest { Name = job }, cancellationToken: Cancellation)).Export;
    }

    /// <summary>Runs an export that must succeed.</summary>
    public async Task<Model> ExportWellAsync(ExportSpec spec)
    {
        Export export = await ExportAsync(spec);
        Assert.True(export.Job.State == JobState.Succeeded, $"{export.Job.State}: {export.Job.Failure?.Message}");
        return export.Result;
    }

    /// <summary>Imports and waits for the end.</summary>
    public async Task<Import> ImportAsync(ImportSpec spec)
    {
        string job = (await Client.CreateImportAsync(new CreateImportRequest { Spec = spec }, cancellationToken: Cancellation)).Import.Job.Name;
        using AsyncServerStreamingCall<WatchImportResponse> events = Client.WatchImport(new WatchImportRequest { Name = job }, cancellationToken: Cancellation);
        while (await events.ResponseStream.MoveNext(Cancellation))
        {
            // Until the job ends.
        }

        return (await Client.GetImportAsync(new GetImportRequest { Name = job }, cancellationToken: Cancellation)).Import;
    }

    /// <summary>The status that a call ends with.</summary>
    public static async Task<Status> StatusOf(Func<Task> call) => (await Assert.ThrowsAsync<RpcException>(call)).Status;
}
