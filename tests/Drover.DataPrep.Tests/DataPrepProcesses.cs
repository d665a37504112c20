using System.Diagnostics;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace Drover.DataPrep.Tests;

/// <summary>The service and workers as processes of their own, to be killed or cut off.</summary>
internal sealed class DataPrepProcesses : IDisposable
{
    private readonly string _address = $"http://127.0.0.1:{LoopbackPort.Free()}";
    private readonly string[] _settings;
    private readonly List<Process> _running = [];
    private readonly GrpcChannel _channel;

    /// <param name="settings">Of each process, beside the address.</param>
    public DataPrepProcesses(params string[] settings)
    {
        _settings = settings;
        _channel = GrpcChannel.ForAddress(_address);
        Client = new DataPrepService.DataPrepServiceClient(_channel);
    }

    public DataPrepService.DataPrepServiceClient Client { get; }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public Process StartService() => Start("--DataPrep:Workers=0", "--DataPrep:LeaseSeconds=1");

    public Process StartWorker(int workers = 1) => Start("--DataPrep:Role=worker", $"--DataPrep:Workers={workers}");

    /// <summary>Kills a process without warning.</summary>
    public void Kill(Process process)
    {
        process.Kill();
        process.WaitForExit();
        process.Dispose();
        _running.Remove(process);
    }

    /// <summary>Asks for a build, as soon as the service answers.</summary>
    public async Task<string> CreateAsync(DatasetSpec spec)
    {
        var request = new CreateDatasetBuildRequest { RequestId = "r", Spec = spec };
        return (await AnsweredAsync(async () => await Client.CreateDatasetBuildAsync(request, cancellationToken: Cancellation))).Build.Job.Name;
    }

    public async Task<DatasetBuild> GetAsync(string name) =>
        (await AnsweredAsync(async () => await Client.GetDatasetBuildAsync(new GetDatasetBuildRequest { Name = name }, cancellationToken: Cancellation))).Build;

    /// <summary>The build once it has ended.</summary>
    public async Task<DatasetBuild> FinishedAsync(string name)
    {
        while (true)
        {
            DatasetBuild build = await GetAsync(name);
            if (build.Job.State is JobState.Succeeded or JobState.Failed or JobState.Cancelled)
                return build;
            await Task.Delay(100, Cancellation);
        }
    }

    public void Dispose()
    {
        foreach (Process process in _running.ToArray())
            Kill(process);
        _channel.Dispose();
    }

    private Process Start(params string[] args)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "..", "..", "Drover.DataPrep", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Drover.DataPrep");
        var start = new ProcessStartInfo(program, [$"--Services:dataprep={_address}", .. _settings, .. args]) { RedirectStandardOutput = true, RedirectStandardError = true };
        Process process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _running.Add(process);
        return process;
    }

    private static async Task<T> AnsweredAsync<T>(Func<Task<T>> call)
    {
        while (true)
        {
            try
            {
                return await call();
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.Unavailable)
            {
                await Task.Delay(50, Cancellation);
            }
        }
    }
}
