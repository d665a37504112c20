using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using Drover.Protocol;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;

namespace Drover.Gateway.Tests;

public sealed class TracingTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_pipeline_and_the_jobs_of_its_steps_are_one_trace_that_a_collector_gets_from_each_service()
    {
        var spans = new ConcurrentBag<Activity>();
        using var listener = new ActivityListener { ShouldListenTo = source => source.Name == JobTracing.SourceName, Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded, ActivityStopped = spans.Add };
        ActivitySource.AddActivityListener(listener);
        var received = new ConcurrentBag<(string Path, string Body)>();
        string address = $"http://127.0.0.1:{LoopbackPort.Free()}";
        await using WebApplication collector = await CollectAsync(address, received);
        string[] jobs;
        await using (GatewayFixture gateway = await GatewayFixture.StartAsync("http", true, $"--Telemetry:OtlpEndpoint={address}"))
        {
            gateway.Script.IsGated = true;
            Pipeline created = await gateway.CreateAsync(gateway.TwoSteps());
            await gateway.UntilExpandingAsync(created.Job.Name);
            // What is done after a restart is of the same trace.
            await gateway.StopGatewayAsync();
            gateway.Script.Gate.Release();
            await gateway.StartGatewayAsync();
            await gateway.WatchAsync(created.Job.Name);
            Pipeline ended = await gateway.GetAsync(created.Job.Name);
            Assert.Equal(JobState.Succeeded, ended.Job.State);
            jobs = [ended.Job.Name, .. ended.Steps.Select(step => step.Job)];
        }

        Activity[] own = [.. spans.Where(span => jobs.Contains(span.GetTagItem("drover.job") as string))];
        Assert.Equal(["job expansion", "job pipeline", "job pipeline", "job tokenizer-training"], own.Select(span => span.OperationName).Order(StringComparer.Ordinal));
        Assert.Single(own.Select(span => span.TraceId).Distinct());
        string traces = string.Concat(received.Where(sent => sent.Path == "/v1/traces").Select(sent => sent.Body));
        Assert.Contains("drover-gateway", traces, StringComparison.Ordinal);
        Assert.Contains("drover-tokenizer", traces, StringComparison.Ordinal);
        Assert.Contains(received, sent => sent.Path == "/v1/metrics");
    }

    private static async Task<WebApplication> CollectAsync(string address, ConcurrentBag<(string Path, string Body)> received)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls(address);
        WebApplication collector = builder.Build();
        collector.Run(async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            received.Add((context.Request.Path.ToString(), Encoding.Latin1.GetString(body.ToArray())));
        });
        await collector.StartAsync(Cancellation);
        return collector;
    }
}
