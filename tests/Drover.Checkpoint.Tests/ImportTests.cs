using System.Text;
using System.Text.Json.Nodes;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Testing;
using Grpc.Core;
using static Drover.Checkpoint.Tests.RunningService;

namespace Drover.Checkpoint.Tests;

/// <summary>Models fetched from another Drover, and from what answers as huggingface.co does.</summary>
public sealed class ImportTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private RunningService _source = null!;
    private StandInHub _hub = null!;
    private RunningService _target = null!;
    private CuttingProxy _proxy = null!;

    public async ValueTask InitializeAsync()
    {
        _source = await StartAsync();
        _hub = await StandInHub.StartAsync();
        _proxy = new CuttingProxy(_source.Hub, cuts: 2);
        await File.WriteAllTextAsync(_folder["token"], "hf_secret\n", Cancellation);
        _target = await StartAsync($"--Checkpoint:ImportAddresses={_hub.Address}, {_proxy.Address}/", $"--Checkpoint:ImportTokenFile={_folder["token"]}");
    }

    public async ValueTask DisposeAsync()
    {
        _proxy.Dispose();
        await _target.DisposeAsync();
        await _hub.DisposeAsync();
        await _source.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_model_and_a_checkpoint_of_another_Drover_come_byte_for_byte_over_connections_that_break()
    {
        string checkpoint = await _source.PublishAsync("r", 3);
        Model there = await _source.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, MaxShardBytes = 6000 });
        Model model = await ImportWellAsync(new ImportSpec { Name = "a", Repository = "models/m", Address = _proxy.Address });
        Assert.True(_proxy.CutsLeft <= 0);
        Assert.Contains(_proxy.Requests, r => r.Contains(".safetensors", StringComparison.Ordinal) && r.Contains("range: bytes=", StringComparison.OrdinalIgnoreCase));
        Dictionary<string, string> digests = there.Files.ToDictionary(f => f.Path, f => f.Sha256);
        Assert.All(model.Files.Where(f => f.Path != "import.json"), f => Assert.Equal(digests[f.Path], f.Sha256));
        Assert.Equal(["drover.json"], digests.Keys.Except(model.Files.Select(f => f.Path)));

        // What is rendered as it is read has no digest, and comes all the same.
        await ImportWellAsync(new ImportSpec { Name = "b", Repository = "runs/r", Revision = "step-3:fp32", Address = _proxy.Address });
        HuggingFaceModel fp32 = await HuggingFaceModel.OpenAsync(_target.Store, "models/b", Cancellation);
        Assert.Equal("F32", fp32.Get(LlamaTensors.Embedding).DataType);
        LineageEntry entry = (await _target.Client.GetLineageAsync(new GetLineageRequest { Name = "models/b" }, cancellationToken: Cancellation)).Entries[0];
        Assert.Contains("runs/r at step-3:fp32", entry.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task As_of_the_Hub_large_files_are_redirected_to_and_the_token_goes_to_the_Hub_alone()
    {
        await FillHubAsync();
        (_hub.Token, _hub.Breaks) = ("hf_secret", 2);
        Model model = await ImportWellAsync(new ImportSpec { Name = "m", Repository = "o/m" });
        // Neither other formats of the weights, nor what lies in folders.
        Assert.Equal(["README.md", "config.json", "import.json", "model.safetensors", "tokenizer.json"], model.Files.Select(f => f.Path));
        foreach (ModelFile file in model.Files.Where(f => f.Path != "import.json"))
            Assert.Equal(_hub.Files[file.Path], await _target.Store.ReadAllBytesAsync($"models/m/{file.Path}", Cancellation));
        Assert.Equal(StandInHub.Commit, JsonNode.Parse(await _target.Store.ReadTextAsync("models/m/import.json", Cancellation))!["commit"]!.GetValue<string>());
        Assert.DoesNotContain(_hub.Requests, r => r.StartsWith("store", StringComparison.Ordinal) && r.Contains("hf_secret", StringComparison.Ordinal));
        Assert.Contains(_hub.Requests, r => r.StartsWith("store model.safetensors bytes=", StringComparison.Ordinal));
        Assert.All(_hub.Requests.Where(r => r.Contains("resolve", StringComparison.Ordinal)), r => Assert.Contains($"/resolve/{StandInHub.Commit}/", r, StringComparison.Ordinal));

        // Again: what is there is not fetched anew.
        int before = _hub.Requests.Count(r => r.StartsWith("store", StringComparison.Ordinal));
        Assert.Equal(model, await ImportWellAsync(new ImportSpec { Name = "m", Repository = "o/m" }));
        Assert.Equal(before, _hub.Requests.Count(r => r.StartsWith("store", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("model.safetensors")] // SHA-256
    [InlineData("tokenizer.json")] // as git has it
    [InlineData("config.json")]
    public async Task Bytes_with_another_digest_are_not_stored_and_the_next_import_goes_on(string file)
    {
        await FillHubAsync();
        byte[] changed = [.. _hub.Files[file]];
        changed[^2] ^= 1;
        _hub.Sent[file] = changed;
        Import import = await _target.ImportAsync(new ImportSpec { Name = "m", Repository = "o/m" });
        Assert.Equal((JobState.Failed, (int)StatusCode.DataLoss), (import.Job.State, import.Job.Failure.Code));
        Assert.Contains($"'{file}'", import.Job.Failure.Message, StringComparison.Ordinal);
        Assert.Null(await _target.Store.FindAsync($"models/m/{file}", Cancellation));
        Assert.Empty((await _target.Client.ListModelsAsync(new ListModelsRequest(), cancellationToken: Cancellation)).Models);
        _hub.Sent.Clear();
        await ImportWellAsync(new ImportSpec { Name = "m", Repository = "o/m" });
    }

    [Fact]
    public async Task What_cannot_be_a_model_is_refused_before_its_weights_are_fetched()
    {
        await FillHubAsync();
        byte[] weights = _hub.Files["model.safetensors"];
        _hub.Files.Remove("model.safetensors");
        await FailsAsync(new ImportSpec { Name = "m", Repository = "o/m" }, StatusCode.FailedPrecondition, ".bin");
        _hub.Files["model.safetensors"] = weights;
        byte[] config = _hub.Files["config.json"];
        _hub.Files["config.json"] = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(config).Replace("\"llama\"", "\"bert\"", StringComparison.Ordinal));
        await FailsAsync(new ImportSpec { Name = "m", Repository = "o/m" }, StatusCode.InvalidArgument, "bert");
        Assert.DoesNotContain(_hub.Requests, r => r.StartsWith("store", StringComparison.Ordinal));

        // A config that calls for tensors that are not there: found at the end, and taken away.
        _hub.Files["config.json"] = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(config).Replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", StringComparison.Ordinal));
        await FailsAsync(new ImportSpec { Name = "m", Repository = "o/m" }, StatusCode.NotFound, "layers.2");
        await foreach (ObjectInfo left in _target.Store.ListAsync("models/m/", Cancellation))
            Assert.Fail($"left behind: {left.Key}");
        _hub.Token = "another";
        await FailsAsync(new ImportSpec { Name = "m", Repository = "o/m" }, StatusCode.Unauthenticated, "ImportTokenFile");
    }

    [Theory]
    [InlineData("m", "o/m", "http://169.254.169.254", StatusCode.PermissionDenied, "ImportAddresses")]
    [InlineData("a/b", "o/m", "", StatusCode.InvalidArgument, "a/b")]
    [InlineData("..", "o/m", "", StatusCode.InvalidArgument, "..")]
    [InlineData("m", "o/../../m", "", StatusCode.InvalidArgument, "repository")]
    [InlineData("m", "o/m?x=1", "", StatusCode.InvalidArgument, "repository")]
    public async Task Addresses_of_others_and_odd_names_are_refused_at_once(string name, string repository, string address, StatusCode code, string named)
    {
        Status status = await StatusOf(async () => await _target.Client.CreateImportAsync(new CreateImportRequest { Spec = new ImportSpec { Name = name, Repository = repository, Address = address } }, cancellationToken: Cancellation));
        Assert.Equal(code, status.StatusCode);
        Assert.Contains(named, status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_name_that_holds_something_else_is_left_alone()
    {
        await FillHubAsync();
        await _target.Store.PutTextAsync("models/m/config.json", "{}", Cancellation);
        await FailsAsync(new ImportSpec { Name = "m", Repository = "o/m" }, StatusCode.AlreadyExists, "config.json");
        await ImportWellAsync(new ImportSpec { Name = "n", Repository = "o/m" });
        await FailsAsync(new ImportSpec { Name = "n", Repository = "o/other" }, StatusCode.AlreadyExists, "o/m at main");
    }

    private async Task FillHubAsync()
    {
        string checkpoint = await _source.PublishAsync("hub", 1);
        Model model = await _source.ExportWellAsync(new ExportSpec { Name = "hub", Checkpoint = checkpoint });
        foreach (string file in model.Files.Select(f => f.Path).Where(f => f != "drover.json"))
            _hub.Files[file] = await _source.Store.ReadAllBytesAsync($"models/hub/{file}", Cancellation);
        _hub.Files.Remove("generation_config.json");
        foreach (string other in new[] { "pytorch_model.bin", "onnx/model.safetensors", "consolidated.safetensors", "optimizer.pt" })
            _hub.Files[other] = [1, 2, 3];
        _hub.Files["tokenizer.json"] = "{\"model\":{\"vocab\":{\"a\":0}}}"u8.ToArray();
    }

    private async Task FailsAsync(ImportSpec spec, StatusCode code, string named)
    {
        Import import = await _target.ImportAsync(spec);
        Assert.Equal((JobState.Failed, (int)code), (import.Job.State, import.Job.Failure?.Code ?? 0));
        Assert.Contains(named, import.Job.Failure!.Message, StringComparison.Ordinal);
    }

    private async Task<Model> ImportWellAsync(ImportSpec spec)
    {
        Import import = await _target.ImportAsync(spec);
        Assert.True(import.Job.State == JobState.Succeeded, $"{import.Job.State}: {import.Job.Failure?.Message}");
        return import.Result;
    }
}
