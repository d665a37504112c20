using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Drover.Protocol.DataPrep.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Testing;
using Grpc.Core;

namespace Drover.Integration.Tests;

/// <summary>
/// The pipeline over five services that share an S3 store and Consul and nothing else. Needs both: DROVER_TEST_CONSUL_ADDRESS, and
/// DROVER_TEST_S3_ENDPOINT, DROVER_TEST_S3_ACCESS_KEY, DROVER_TEST_S3_SECRET_KEY.
/// </summary>
public sealed class DistributedScenario
{
    private const int Lines = 6_000;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Over_Consul_and_S3_a_pipeline_loses_no_row_when_a_worker_is_killed_and_another_comes(bool isTls)
    {
        string consul = Require("DROVER_TEST_CONSUL_ADDRESS");
        using var folder = new TemporaryFolder();
        await using DistributedDrover drover = await DistributedDrover.StartAsync(folder["drover"], isTls, new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["DROVER_Discovery__ConsulAddress"] = consul,
            ["DROVER_ObjectStore__S3Endpoint"] = Require("DROVER_TEST_S3_ENDPOINT"),
            ["DROVER_ObjectStore__S3AccessKey"] = Require("DROVER_TEST_S3_ACCESS_KEY"),
            ["DROVER_ObjectStore__S3SecretKey"] = Require("DROVER_TEST_S3_SECRET_KEY"),
            ["DROVER_ObjectStore__S3Bucket"] = $"drover-{Guid.NewGuid():N}",
        });
        Assert.Equal(5, await CatalogueAsync(consul));
        Process first = drover.StartWorker();
        Process second = drover.StartWorker();
        Process? third = null;
        try
        {
            string yaml = TinyPipeline.Write(folder["work"], ranks: 1, steps: 10, lines: Lines, taskBytes: 16384);
            (int code, string output, string error) = await drover.CliAsync("run", yaml, "--detach");
            Assert.True(code == 0, $"{error}\n{drover.Logs()}");
            await UntilAsync(drover, output.Trim(), e => e is { Step: "base-rows", Event.Progress.Done: > 0 });
            first.Kill();
            third = drover.StartWorker();

            (code, _, error) = await drover.CliAsync("jobs", "watch", output.Trim());
            Assert.True(code == 0, $"{error}\n{drover.Logs()}");
            DatasetBuild build = (await new DataPrepService.DataPrepServiceClient(drover.Connect("gateway")).ListDatasetBuildsAsync(new ListDatasetBuildsRequest(), cancellationToken: Cancellation)).Builds[^1];
            Assert.Equal(Lines, build.Result.Documents);
            Assert.Equal(build.Result.TokensIn, build.Result.TokensInRows);
            Pipeline pipeline = Assert.Single((await new GatewayService.GatewayServiceClient(drover.Connect("gateway")).ListPipelinesAsync(new ListPipelinesRequest(), cancellationToken: Cancellation)).Pipelines);
            Assert.True(Loss(pipeline, "after") < Loss(pipeline, "before"));
        }
        finally
        {
            foreach (Process worker in new[] { first, second, third }.OfType<Process>())
            {
                worker.Kill();
                await worker.WaitForExitAsync(CancellationToken.None);
                worker.Dispose();
            }
        }

        await drover.StopAsync();
        Assert.Equal(0, await CatalogueAsync(consul));
    }

    private static async Task UntilAsync(DistributedDrover drover, string name, Func<PipelineEvent, bool> found)
    {
        using AsyncServerStreamingCall<WatchPipelineResponse> watch = new GatewayService.GatewayServiceClient(drover.Connect("gateway")).WatchPipeline(new WatchPipelineRequest { Name = name }, cancellationToken: Cancellation);
        while (await watch.ResponseStream.MoveNext(Cancellation))
        {
            if (found(watch.ResponseStream.Current.Event))
                return;
        }

        Assert.Fail($"the pipeline ended before that\n{drover.Logs()}");
    }

    // How many services of Drover Consul's catalogue has.
    private static async Task<int> CatalogueAsync(string consul)
    {
        using var http = new HttpClient { BaseAddress = new Uri(consul) };
        using JsonDocument services = JsonDocument.Parse(await http.GetStringAsync(new Uri("/v1/catalog/services", UriKind.Relative), Cancellation));
        return services.RootElement.EnumerateObject().Count(s => s.Name.StartsWith("drover-", StringComparison.Ordinal));
    }

    private static double Loss(Pipeline pipeline, string step) =>
        double.Parse(pipeline.Steps.Single(s => s.Name == step).Outputs["loss"], CultureInfo.InvariantCulture);

    private static string Require(string variable)
    {
        string value = Environment.GetEnvironmentVariable(variable) ?? "";
        Assert.SkipWhen(value.Length == 0, $"needs a real server: {variable} is not set");
        return value;
    }
}
