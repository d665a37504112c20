using System.Diagnostics;
using Drover.Cli;
using Drover.Cli.Pipelines;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;

namespace Drover.Gateway.Tests;

/// <summary>Runs as YAML files, and the scripts made of them.</summary>
public sealed class TrainFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_field_of_a_layout_is_written_as_its_documentation_names_it()
    {
        TrainingSpec spec = YamlFile.Parse<TrainingSpec>("""
            name: mine
            ranks: 8
            parallelism:
              preset: 3d
              tensor_parallel: 2
              pipeline_parallel: 2
              parts_per_rank: 2
              pipeline_order: 1f1b
              sequence_parallel: 2
              sequence_mode: all_to_all
              placement: zero3
              offload_optimizer: false
              offload_weights: true
              gemini: { chunk_values: 1_000_000, policy: auto, device_budget_bytes: 8_000_000_000, offload_weights_fraction: 0.5, offload_optimizer_fraction: 0 }
            """, "run.yaml", "the run");
        ParallelismSpec p = spec.Parallelism;
        Assert.Equal(("3d", 2, 2, 2, PipelineOrder._1F1B), (p.Preset, p.TensorParallel, p.PipelineParallel, p.PartsPerRank, p.PipelineOrder));
        Assert.Equal((2, SequenceMode.AllToAll, StatePlacement.Zero3), (p.SequenceParallel, p.SequenceMode, p.Placement));
        Assert.True(p.HasOffloadOptimizer && !p.OffloadOptimizer && p.OffloadWeights && p.Gemini.HasOffloadOptimizerFraction);
        Assert.Equal((GeminiPolicy.Auto, 8_000_000_000, 0.5), (p.Gemini.Policy, p.Gemini.DeviceBudgetBytes, p.Gemini.OffloadWeightsFraction));
    }

    [Theory]
    [InlineData("plan")]
    [InlineData("submit")]
    [InlineData("render")]
    public async Task Help_teaches_with_an_example(string command)
    {
        (_, string output, _) = await RunAsync("train", command, "--help");
        Assert.Contains("Example", output, StringComparison.Ordinal);
        Assert.Contains($"drover train {command}", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_Slurm_script_asks_for_the_ranks_of_the_run_and_is_sound()
    {
        await File.WriteAllTextAsync(_folder["it's a run.yaml"], "name: mine\nranks: 4\nthreads_per_rank: 3\n", Cancellation);
        (int code, string script, _) = await RunAsync("train", "render", _folder["it's a run.yaml"], "--slurm", "--nodes", "2", "--partition", "long", "--data-folder", "/shared/drover");
        Assert.Equal(ExitCodes.Ok, code);
        foreach (string line in new[] { "#SBATCH --nodes=2", "#SBATCH --ntasks=4", "#SBATCH --ntasks-per-node=2", "#SBATCH --cpus-per-task=3", "#SBATCH --partition=long", "DATA='/shared/drover'" })
            Assert.Contains(line + "\n", script, StringComparison.Ordinal);
        Assert.StartsWith("#!/bin/bash\n", script, StringComparison.Ordinal);
        await File.WriteAllTextAsync(_folder["run.sbatch"], script, Cancellation);
        using Process bash = Process.Start("bash", ["-n", _folder["run.sbatch"]]);
        await bash.WaitForExitAsync(Cancellation);
        Assert.Equal(0, bash.ExitCode);
    }

    [Fact]
    public async Task A_plan_is_shown_as_tables_and_as_JSON_from_a_config_beside_the_file()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync(withTokenizer: false);
        await gateway.StartTrainerAsync();
        await File.WriteAllTextAsync(_folder["config.json"], "{}", Cancellation);
        await File.WriteAllTextAsync(_folder["run.yaml"], "name: mine\nbase_model: .\nparallelism: { preset: zero2_cpu }\n", Cancellation);
        string[] command = ["train", "plan", _folder["run.yaml"], "--row-tokens", "2048", "--gateway", gateway.Address];
        (int code, string output, string error) = await RunAsync(command);
        Assert.Equal((ExitCodes.Ok, ""), (code, error));
        foreach (string part in new[] { "zero2_cpu", "embedding", "layers 0-7", "12 MB (h)", "64 x 32", "rows", "32 x 32", "2,048 tokens" })
            Assert.Contains(part, output, StringComparison.Ordinal);
        (_, output, _) = await RunAsync([.. command, "--json"]);
        TrainingPlan plan = Google.Protobuf.JsonParser.Default.Parse<TrainingPlan>(output);
        Assert.Equal((2048, 12_000_000), (plan.MicroBatchTokens, plan.RankPlans[0].HostBytes));
    }

    [Fact]
    public async Task Options_say_how_a_run_is_spread_and_what_is_not_given_is_not_set()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync(withTokenizer: false);
        await gateway.StartTrainerAsync();
        string[] start = ["train", "start", "mine", "--checkpoint", "runs/a/checkpoints/step-00000001", "--dataset", "datasets/d", "--tokenizer", "store:tokenizers/t", "--dry-run", "--json", "--gateway", gateway.Address];
        (_, string output, string error) = await RunAsync([.. start, "--preset", "zero2_cpu", "--tensor-parallel", "2", "--pipeline-order", "1f1b", "--sequence-mode", "split_gather", "--offload-optimizer", "false", "--gemini-budget-bytes", "5"]);
        Assert.Equal("", error);
        var expected = new ParallelismSpec
        {
            Preset = "zero2_cpu",
            TensorParallel = 2,
            PipelineOrder = PipelineOrder._1F1B,
            SequenceMode = SequenceMode.SplitGather,
            OffloadOptimizer = false,
            Gemini = new GeminiSpec { DeviceBudgetBytes = 5 },
        };
        Assert.Equal(expected, Google.Protobuf.JsonParser.Default.Parse<TrainingPlan>(output).Parallelism);
        (_, output, _) = await RunAsync(start);
        Assert.Null(Google.Protobuf.JsonParser.Default.Parse<TrainingPlan>(output).Parallelism);
    }

    [Theory]
    [InlineData("ranks: 4\nthreads_per_rank: 1", "3", "--nodes is 3, which does not divide the 4 ranks")]
    [InlineData("ranks: 4", "2", "threads_per_rank is 0")]
    [InlineData("ranks: 4\nparalelism: {}", "2", "line 2: unknown key 'paralelism' in the run")]
    public async Task What_cannot_be_rendered_is_refused_with_the_reason(string yaml, string nodes, string reason)
    {
        await File.WriteAllTextAsync(_folder["run.yaml"], yaml, Cancellation);
        (int code, string output, string error) = await RunAsync("train", "render", _folder["run.yaml"], "--slurm", "--nodes", nodes, "--data-folder", "/shared");
        Assert.Equal((ExitCodes.BadInput, ""), (code, output));
        Assert.Contains(reason, error, StringComparison.Ordinal);
    }

    private static async Task<(int Code, string Output, string Error)> RunAsync(params string[] args)
    {
        using StringWriter output = new(), error = new();
        int code = await CommandLine.RunAsync(args, output, error, Cancellation);
        return (code, output.ToString(), error.ToString());
    }
}
