using System.Diagnostics;

namespace Drover.Gateway.Tests;

/// <summary>samples/clients/dotnet as a process of its own.</summary>
public sealed class ClientSampleTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_sample_uploads_its_corpus_and_follows_its_pipeline_to_the_tokenizer()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        File.WriteAllText(gateway.Folder["corpus.jsonl"], """{"text": "the cat"}""");
        string here = AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar);
        string sample = Path.GetFullPath(Path.Combine(here, "..", "..", "Drover.Samples.Client", Path.GetFileName(here), "Drover.Samples.Client"));
        var start = new ProcessStartInfo(sample, [gateway.Folder["corpus.jsonl"], "300"]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["DROVER_GATEWAY"] = gateway.Address;
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(Cancellation), errors = process.StandardError.ReadToEndAsync(Cancellation);
        await process.WaitForExitAsync(Cancellation);
        Assert.True(process.ExitCode == 0, await errors);
        string[] lines = (await output).TrimEnd().Split('\n');
        Assert.StartsWith("jobs/pipeline-", lines[0], StringComparison.Ordinal);
        Assert.Contains("[learn] Succeeded", lines);
        Assert.Equal("tokenizers/sample-learn", lines[^1]);
    }
}
