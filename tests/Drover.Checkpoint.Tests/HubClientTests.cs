using System.Text.Json.Nodes;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Testing;

namespace Drover.Checkpoint.Tests;

/// <summary>transformers and huggingface_hub against the running service, by nothing but HF_ENDPOINT.</summary>
public sealed class HubClientTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task From_pretrained_loads_runs_steps_and_models_also_when_the_connection_breaks_and_not_twice()
    {
        using ReferenceChroot reference = ReferenceChroot.Require();
        await using RunningService service = await RunningService.StartAsync();
        await PutTokenizerAsync(service, "tokenizers/t");
        string first = await service.PublishAsync("r", 1, runSpec: """{"tokenizer":"tokenizers/t"}""");
        await service.PublishAsync("r", 2, runSpec: """{"tokenizer":"tokenizers/t"}""");
        await service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = first, Tokenizer = "tokenizers/t", DataType = ExportDataType.Fp32, MaxShardBytes = 6000 });
        await service.ExportWellAsync(new ExportSpec { Name = "padded", Checkpoint = first, Tokenizer = "tokenizers/t", DataType = ExportDataType.Fp32, KeepPadding = true });
        string[] repositories = ["models/m", "runs/r@step-1:fp32", "r/step-1", "runs/r", "runs/r@2", "models/padded"];

        using var proxy = new CuttingProxy(service.Hub, cuts: 2);
        JsonArray cold = await AskAsync(reference, proxy, repositories);
        Assert.True(proxy.CutsLeft <= 0, "no connection was cut");
        // huggingface_hub asks again; for the rest only where it had 10 MB of it, which these files have not.
        Assert.Contains(proxy.Requests.Where(r => r.StartsWith("GET ", StringComparison.Ordinal)).GroupBy(r => r), g => g.Key.Contains(".safetensors ", StringComparison.Ordinal) && g.Count() > 1);
        double[][] logits = [.. cold.Select(a => a!["logits"]!.AsArray().Select(v => v!.GetValue<double>()).ToArray())];
        // A model and the checkpoint that it was exported from, rendered in the same type, are the same; in bf16 nearly.
        Assert.Equal(logits[0], logits[1]);
        Assert.All(logits[0].Zip(logits[2]), p => Assert.Equal(p.First, p.Second, 0.05));
        Assert.Equal(logits[3], logits[4]);
        // The model has 40 rows, the tokenizer 38 ids.
        Assert.Equal((38, 40), (logits[0].Length, logits[5].Length));
        Assert.All(logits[0].Zip(logits[5]), p => Assert.Equal(p.First, p.Second, 1e-6));
        Assert.NotEqual(logits[2], logits[3]);
        Assert.All(cold, a => Assert.Equal([5, 7, 9], a!["ids"]!.AsArray().Select(i => i!.GetValue<int>())));
        Assert.Contains("model.safetensors.index.json", cold[0]!["files"]!.AsArray().Select(f => f!.GetValue<string>()));
        Assert.Contains("README.md", cold[3]!["files"]!.AsArray().Select(f => f!.GetValue<string>()));

        int before = proxy.Requests.Count;
        JsonArray warm = await AskAsync(reference, proxy, repositories);
        Assert.Equal(cold.ToJsonString(), warm.ToJsonString());
        Assert.DoesNotContain(proxy.Requests.Skip(before), r => r.StartsWith("GET ", StringComparison.Ordinal) && r.Contains("/resolve/", StringComparison.Ordinal));
    }

    private static async Task<JsonArray> AskAsync(ReferenceChroot reference, CuttingProxy proxy, string[] repositories)
    {
        await reference.RunAsync(Path.Combine(Checkout.Root, "tests", "goldens", "hub_client.py"), [proxy.Address, reference.Inside("cache"), reference.Inside("result.json"), .. repositories], Cancellation);
        return JsonNode.Parse(await File.ReadAllTextAsync(reference.Outside("result.json"), Cancellation))!.AsArray();
    }

    private static async Task PutTokenizerAsync(RunningService service, string prefix)
    {
        string vocabulary = string.Join(',', Enumerable.Range(0, 38).Select(i => $"\"w{i}\":{i}"));
        await service.Store.PutTextAsync($"{prefix}/tokenizer.json", $$"""{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,"model":{"type":"WordLevel","vocab":{ {{vocabulary}} },"unk_token":"w0"} }""", Cancellation);
        await service.Store.PutTextAsync($"{prefix}/tokenizer_config.json", """{"tokenizer_class":"PreTrainedTokenizerFast"}""", Cancellation);
    }
}
