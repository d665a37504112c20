using System.Text.Json;
using Drover.Cli;

namespace Drover.Gateway.Tests;

public sealed class CommandLineTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("up")]
    [InlineData("run")]
    [InlineData("pull")]
    [InlineData("upload")]
    [InlineData("status")]
    [InlineData("jobs", "list")]
    [InlineData("jobs", "watch")]
    [InlineData("jobs", "cancel")]
    [InlineData("jobs", "show")]
    [InlineData("jobs", "retry")]
    [InlineData("jobs", "pause")]
    [InlineData("jobs", "resume")]
    [InlineData("jobs", "save")]
    [InlineData("tokenizer", "inspect")]
    [InlineData("tokenizer", "encode")]
    [InlineData("tokenizer", "decode")]
    [InlineData("tokenizer", "count")]
    [InlineData("tokenizer", "train")]
    [InlineData("tokenizer", "expand")]
    [InlineData("dataset", "build")]
    [InlineData("dataset", "show")]
    [InlineData("dataset", "workers")]
    [InlineData("dataset", "inspect")]
    [InlineData("dataset", "statistics")]
    [InlineData("train", "start")]
    [InlineData("train", "watch")]
    [InlineData("train", "cancel")]
    [InlineData("train", "evaluate")]
    [InlineData("generate")]
    [InlineData("checkpoint", "list")]
    [InlineData("checkpoint", "verify")]
    [InlineData("checkpoint", "export")]
    [InlineData("checkpoint", "tag")]
    [InlineData("checkpoint", "untag")]
    [InlineData("checkpoint", "keep")]
    [InlineData("checkpoint", "delete")]
    [InlineData("checkpoint", "gc")]
    [InlineData("checkpoint", "diff")]
    [InlineData("train", "save")]
    [InlineData("runs", "list")]
    [InlineData("runs", "delete")]
    [InlineData("lineage")]
    [InlineData("models", "delete")]
    [InlineData("models", "list")]
    [InlineData("keys", "create")]
    [InlineData("keys", "list")]
    [InlineData("keys", "revoke")]
    [InlineData("login")]
    [InlineData("dashboard")]
    [InlineData("doctor")]
    [InlineData("completion")]
    public async Task Help_of_every_command_teaches_with_an_example(params string[] command)
    {
        (int code, string output, _) = await RunAsync([.. command, "--help"]);
        Assert.Equal(ExitCodes.Ok, code);
        Assert.Contains($"drover {string.Join(' ', command)}", output, StringComparison.Ordinal);
        Assert.Contains("Example", output, StringComparison.Ordinal);
        Assert.Contains("--gateway", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("jobs", "watch")]
    [InlineData("fly")]
    [InlineData("run", "a.yaml", "--speed", "9")]
    [InlineData("dataset", "build", "x", "--tokenizer", "t", "--source", "s", "--packing", "tight")]
    [InlineData("dataset", "build", "x", "--tokenizer", "t", "--source", "s", "--field", "nothing=x")]
    [InlineData("tokenizer", "train", "x", "--source", "a", "--vocabulary-size", "many")]
    [InlineData("checkpoint", "export", "x", "--checkpoint", "c", "--tokenizer", "t", "--data-type", "fp7")]
    public async Task A_wrong_command_line_is_one_line_and_code_2(params string[] command)
    {
        (int code, string output, string error) = await RunAsync(command);
        Assert.Equal(ExitCodes.BadInput, code);
        Assert.Equal("", output);
        Assert.StartsWith("error: ", error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
    }

    [Fact]
    public async Task A_gateway_that_is_not_there_is_code_3_and_says_what_to_do()
    {
        (int code, _, string error) = await RunAsync("jobs", "list", "--gateway", $"http://127.0.0.1:{Testing.LoopbackPort.Free()}");
        Assert.Equal(ExitCodes.Unreachable, code);
        Assert.Contains("drover up", error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
    }

    [Fact]
    public async Task A_pipeline_is_uploaded_run_and_watched_and_the_same_files_are_sent_once()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        string file = await WritePipelineAsync(gateway);
        (int code, string output, string error) = await RunAsync("run", file, "--gateway", gateway.Address);
        Assert.Equal("", error);
        Assert.Equal(ExitCodes.Ok, code);
        Assert.Contains("[grow] expanded", output, StringComparison.Ordinal);
        Assert.Contains("tokenizers/small-grow", output, StringComparison.Ordinal);
        string stored = Assert.Single(Directory.GetFiles(Path.Combine(gateway.Objects, "inputs"), "corpus.jsonl", SearchOption.AllDirectories));
        DateTime written = File.GetLastWriteTimeUtc(stored);

        (code, output, _) = await RunAsync("run", file, "--json", "--gateway", gateway.Address);
        Assert.Equal(ExitCodes.Ok, code);
        Assert.Equal(written, File.GetLastWriteTimeUtc(stored));
        string[] lines = output.TrimEnd().Split('\n');
        Assert.All(lines, line => JsonDocument.Parse(line).Dispose());
        Assert.Contains(lines, line => line.Contains("\"step\": \"grow\"", StringComparison.Ordinal));
        Assert.Equal(2, (await gateway.TokenizerJobsAsync()).Count(job => job.Kind == "expansion"));
    }

    [Fact]
    public async Task A_failed_pipeline_is_code_1_and_a_dry_run_starts_nothing()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        string file = await WritePipelineAsync(gateway);
        (int code, string output, _) = await RunAsync("run", file, "--dry-run", "--gateway", gateway.Address);
        Assert.Equal(ExitCodes.Ok, code);
        Assert.Contains("2 steps, nothing wrong", output, StringComparison.Ordinal);
        Assert.Empty(await gateway.TokenizerJobsAsync());

        gateway.Script.Failure = new Errors.DroverException(Errors.FailureCode.FailedPrecondition, "PIECES_EMPTY", "The piece list is empty.");
        (code, _, string error) = await RunAsync("run", file, "--gateway", gateway.Address);
        Assert.Equal(ExitCodes.Failed, code);
        Assert.StartsWith("error: Step 'grow'", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Jobs_are_listed_shown_and_cancelled_by_name()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        gateway.Script.IsGated = true;
        (_, string output, _) = await RunAsync("run", await WritePipelineAsync(gateway), "--detach", "--gateway", gateway.Address);
        string name = output.Trim();
        await gateway.UntilExpandingAsync(name);

        (_, output, _) = await RunAsync("jobs", "list", "--json", "--all", "--gateway", gateway.Address);
        Assert.Contains(name, output, StringComparison.Ordinal);
        string expansion = (await gateway.TokenizerJobsAsync()).Single(job => job.Kind == "expansion").Name;
        (int code, output, _) = await RunAsync("jobs", "show", expansion, "--gateway", gateway.Address);
        Assert.Equal(ExitCodes.Ok, code);
        Assert.Contains("\"baseTokenizer\": \"tokenizers/small-learn\"", output, StringComparison.Ordinal);
        (code, _, _) = await RunAsync("jobs", "cancel", name, "--gateway", gateway.Address);
        Assert.Equal(ExitCodes.Ok, code);
        (code, _, _) = await RunAsync("jobs", "watch", name, "--gateway", gateway.Address);
        Assert.Equal(ExitCodes.Cancelled, code);
    }

    private static async Task<string> WritePipelineAsync(GatewayFixture gateway)
    {
        await File.WriteAllTextAsync(gateway.Folder["corpus.jsonl"], "{\"text\": \"a\"}\n", Cancellation);
        await File.WriteAllTextAsync(gateway.Folder["pipeline.yaml"], """
            name: small
            inputs: { corpus: corpus.jsonl }
            steps:
              - name: learn
                train_tokenizer: { sources: "${inputs.corpus}", vocabulary_size: 300 }
              - name: grow
                expand: { base_tokenizer: "${steps.learn.tokenizer}", pieces: "${inputs.corpus}" }
            """, Cancellation);
        return gateway.Folder["pipeline.yaml"];
    }

    private static async Task<(int Code, string Output, string Error)> RunAsync(params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = await CommandLine.RunAsync(args, output, error, Cancellation);
        return (code, output.ToString(), error.ToString());
    }
}
