using System.Diagnostics;
using Drover.Errors;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;

namespace Drover.Gateway.Tests;

/// <summary>The dashboard in a real browser (Debian's chromium), without a window; skipped where there is none.</summary>
[Collection("Identity")]
public sealed class BrowserTests
{
    private const string Hostile = "<img src=x onerror=\"document.title='taken over'\">";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_person_sees_the_pipeline_its_steps_and_its_failure_as_text()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        gateway.Script.Failure = new DroverException(FailureCode.FailedPrecondition, "PIECES_EMPTY", $"The piece list is empty {Hostile}.");
        Pipeline created = await gateway.CreateAsync(gateway.TwoSteps());
        await gateway.WatchAsync(created.Job.Name);

        string list = await LookAsync(gateway, "#/");
        Assert.Contains($"href=\"#/pipelines/{created.Job.Name["jobs/".Length..]}\"", list, StringComparison.Ordinal);
        Assert.Contains("<span class=\"state failed\">failed</span>", list, StringComparison.Ordinal);
        Assert.Contains("trainer: does not answer", list, StringComparison.Ordinal);

        string page = await LookAsync(gateway, $"#/pipelines/{created.Job.Name["jobs/".Length..]}");
        Assert.Contains("<h1>two</h1>", page, StringComparison.Ordinal);
        Assert.Contains("tokenizers/two-learn", page, StringComparison.Ordinal);
        Assert.Contains("role=\"alert\">Step 'grow'", page, StringComparison.Ordinal);
        // What a service says stays text.
        Assert.Contains("&lt;img src=x", page, StringComparison.Ordinal);
        Assert.DoesNotContain("<img src=\"x\"", page, StringComparison.Ordinal);
        Assert.DoesNotContain("<title>taken over", page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_training_that_runs_shows_curves_checkpoints_and_what_can_be_done_with_it()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync("http", withTokenizer: false);
        await gateway.StartTrainerAsync();
        gateway.Script.IsGated = true;
        var spec = new PipelineSpec { Name = "learn", Steps = { new PipelineStep { Name = "train", Train = new TrainingSpec { Dataset = "datasets/d", Steps = 1 } } } };
        string name = (await gateway.CreateAsync(spec)).Job.Name;
        await gateway.WatchAsync(name, 0, e => e.Event.StepMetrics is { Step: 2 });
        string page = await LookAsync(gateway, $"#/pipelines/{name["jobs/".Length..]}");
        // Steps come in all the time, and the page is drawn again and again: what does not change stays.
        Assert.Contains("<code>runs/learn-train/checkpoints/step-00000001</code>", page, StringComparison.Ordinal);
        Assert.Contains("<polyline class=\"curve\"", page, StringComparison.Ordinal);
        foreach (string button in new[] { "Pause", "Save a checkpoint", "Stop" })
            Assert.Contains($">{button}</button>", page, StringComparison.Ordinal);
        string training = (await gateway.GetAsync(name)).Steps[0].Job["jobs/".Length..];
        Assert.Contains($"href=\"#/jobs/{training}\"", page, StringComparison.Ordinal);
        page = await LookAsync(gateway, $"#/jobs/{training}");
        Assert.Contains($"Step train of <a href=\"#/pipelines/{name["jobs/".Length..]}\">", page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_key_the_page_asks_for_one()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync("http", false, "--Security:Authentication=keys");
        string page = await LookAsync(gateway, "#/");
        Assert.Contains("<label for=\"key\">Key</label>", page, StringComparison.Ordinal);
    }

    // The page's elements after its scripts have run for eight seconds of its own time.
    private static async Task<string> LookAsync(GatewayFixture gateway, string place)
    {
        string? browser = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').SelectMany(folder => new[] { "chromium", "chromium-browser", "google-chrome" }.Select(name => Path.Combine(folder, name))).FirstOrDefault(File.Exists);
        Assert.SkipWhen(browser is null, "needs a browser: chromium is not on this machine");
        using var profile = new TemporaryFolder();
        var start = new ProcessStartInfo(browser!, ["--headless", "--no-sandbox", "--disable-gpu", $"--user-data-dir={profile.Path}", "--virtual-time-budget=8000", "--dump-dom", $"{gateway.HttpAddress}/{place}"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> page = process.StandardOutput.ReadToEndAsync(Cancellation), errors = process.StandardError.ReadToEndAsync(Cancellation);
        await process.WaitForExitAsync(Cancellation);
        Assert.True(process.ExitCode == 0, await errors);
        return await page;
    }
}
