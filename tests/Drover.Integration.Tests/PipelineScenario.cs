using System.Globalization;
using System.Text.Json;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace Drover.Integration.Tests;

public sealed class PipelineScenario
{
    private static readonly bool HasMpirun = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, "mpirun")));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(Shape.AllInOne)]
    [InlineData(Shape.Separate)]
    public async Task Text_goes_in_and_a_better_model_comes_out(Shape shape)
    {
        using var folder = new TemporaryFolder();
        await using DroverProcesses drover = await DroverProcesses.StartAsync(shape, folder["data"]);
        string yaml = TinyPipeline.Write(folder["work"], HasMpirun ? 2 : 1, steps: 20);

        (int code, string output, string error) = await drover.CliAsync("run", yaml);
        Assert.True(code == 0, $"drover run ended with {code}: {error}\n{output}\n{drover.Logs()}");

        using GrpcChannel channel = GrpcChannel.ForAddress(drover.Gateway);
        Pipeline pipeline = Assert.Single((await new GatewayService.GatewayServiceClient(drover.Connect(channel)).ListPipelinesAsync(new ListPipelinesRequest(), cancellationToken: Cancellation)).Pipelines);
        double before = Loss(pipeline, "before"), after = Loss(pipeline, "after");
        Assert.True(after < before, $"loss {before} before, {after} after");

        (code, _, error) = await drover.CliAsync("pull", "models/tiny-result", folder["pulled"]);
        Assert.True(code == 0, error);
        AssertModel(folder["pulled"]);
        AssertLog(drover.LogLines, pipeline);
        (code, output, error) = await drover.CliAsync("pull", "models/tiny-result", folder["pulled"], "--json");
        Assert.True(code == 0, error);
        (code, output, error) = await drover.CliAsync("generate", "models/tiny-result", "the cat", "--max-new-tokens", "4");
        Assert.True(code == 0, $"{error}\n{drover.Logs()}");
        Assert.StartsWith("the cat", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_sample_pipeline_passes_the_checks_and_starts_nothing()
    {
        using var folder = new TemporaryFolder();
        await using DroverProcesses drover = await DroverProcesses.StartAsync(Shape.AllInOne, folder["data"]);
        string[] samples = Directory.GetFiles(Path.Combine(Checkout.Root, "samples"), "*.yaml");
        Assert.NotEmpty(samples);
        foreach (string sample in samples)
        {
            (int code, string output, string error) = await drover.CliAsync("run", sample, "--dry-run");
            Assert.True(code == 0, $"{sample}: {error}");
            Assert.Contains("nothing wrong", output, StringComparison.Ordinal);
        }

        (_, string jobs, _) = await drover.CliAsync("jobs", "list", "--all", "--json");
        Assert.Equal("", jobs.Trim());
    }

    [Fact]
    public async Task A_pipeline_outlives_a_gateway_that_is_killed_in_mid_training()
    {
        using var folder = new TemporaryFolder();
        await using DroverProcesses drover = await DroverProcesses.StartAsync(Shape.Separate, folder["data"]);
        string yaml = TinyPipeline.Write(folder["work"], ranks: 1, steps: 60);
        (int code, string output, string error) = await drover.CliAsync("run", yaml, "--detach");
        Assert.True(code == 0, error);
        string name = output.Trim();

        using (GrpcChannel channel = GrpcChannel.ForAddress(drover.Gateway))
        {
            using AsyncServerStreamingCall<WatchPipelineResponse> watch = new GatewayService.GatewayServiceClient(drover.Connect(channel)).WatchPipeline(new WatchPipelineRequest { Name = name }, cancellationToken: Cancellation);
            bool trains = false;
            while (!trains && await watch.ResponseStream.MoveNext(Cancellation))
                trains = watch.ResponseStream.Current.Event is { Step: "train", Event.StepMetrics: not null };
            Assert.True(trains, $"the training did not begin\n{drover.Logs()}");
        }

        await drover.CrashGatewayAsync();
        (code, output, error) = await drover.CliAsync("jobs", "watch", name, "--json");
        Assert.True(code == 0, $"drover jobs watch ended with {code}: {error}\n{drover.Logs()}");

        long[] revisions = [.. output.TrimEnd().Split('\n').SkipLast(1).Select(line => long.Parse(JsonDocument.Parse(line).RootElement.GetProperty("revision").GetString()!, CultureInfo.InvariantCulture))];
        Assert.Equal(Enumerable.Range(1, revisions.Length).Select(i => (long)i), revisions);
        using GrpcChannel again = GrpcChannel.ForAddress(drover.Gateway);
        ListTrainingJobsResponse trainings = await new TrainerService.TrainerServiceClient(drover.Connect(again)).ListTrainingJobsAsync(new ListTrainingJobsRequest(), cancellationToken: Cancellation);
        Assert.Equal(2, trainings.Jobs.Count);
        Assert.All(trainings.Jobs, job => Assert.Equal(1, job.Job.Attempt));
    }

    /// <summary>Every line of every service is an object; those of a step's job name pipeline and step.</summary>
    private static void AssertLog(IEnumerable<string> lines, Pipeline pipeline)
    {
        var jobs = new List<(string Job, string Pipeline, string Step)>();
        foreach (string line in lines)
        {
            using JsonDocument entry = JsonDocument.Parse(line);
            Assert.Equal(DateTimeKind.Utc, entry.RootElement.GetProperty("Timestamp").GetDateTime().Kind);
            if (!entry.RootElement.TryGetProperty("Scopes", out JsonElement scopes))
                continue;
            foreach (JsonElement scope in scopes.EnumerateArray())
            {
                if (scope.TryGetProperty("Job", out JsonElement job) && scope.TryGetProperty("Pipeline", out JsonElement of))
                    jobs.Add((job.GetString()!, of.GetString()!, scope.GetProperty("Step").GetString()!));
            }
        }

        foreach (StepStatus step in pipeline.Steps)
            Assert.Contains((step.Job, pipeline.Job.Name, step.Name), jobs);
    }

    private static double Loss(Pipeline pipeline, string step) =>
        double.Parse(pipeline.Steps.Single(s => s.Name == step).Outputs["loss"], CultureInfo.InvariantCulture);

    /// <summary>A Hugging Face folder: a config whose vocabulary is the embeddings' rows, weights that fill their files, a tokenizer.</summary>
    private static void AssertModel(string folder)
    {
        using JsonDocument config = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "config.json")));
        string weights = Assert.Single(Directory.GetFiles(folder, "*.safetensors"));
        using FileStream file = File.OpenRead(weights);
        byte[] length = new byte[8];
        file.ReadExactly(length);
        byte[] header = new byte[BitConverter.ToInt64(length)];
        file.ReadExactly(header);
        using JsonDocument tensors = JsonDocument.Parse(header);
        long end = tensors.RootElement.EnumerateObject().Where(t => t.Name != "__metadata__").Max(t => t.Value.GetProperty("data_offsets")[1].GetInt64());
        Assert.Equal(file.Length, 8 + header.Length + end);
        Assert.Equal(config.RootElement.GetProperty("vocab_size").GetInt32(), tensors.RootElement.GetProperty("model.embed_tokens.weight").GetProperty("shape")[0].GetInt32());
        Assert.True(File.Exists(Path.Combine(folder, "tokenizer.model")) || File.Exists(Path.Combine(folder, "tokenizer.json")));
        Assert.Empty(Directory.GetFiles(folder, "*.part"));
    }
}
