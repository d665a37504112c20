using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Drover.Gateway.Json;
using Drover.Protocol;
using Drover.Protocol.Gateway.V1;
using Google.Protobuf.Reflection;

namespace Drover.Gateway.Tests;

/// <summary>Every RPC as JSON, its OpenAPI document, and the dashboard that lives on it.</summary>
[Collection("Identity")]
public sealed partial class JsonApiTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Any_rpc_is_called_as_json_and_a_watch_is_a_line_an_event()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        Pipeline created = await gateway.CreateAsync(gateway.TwoSteps());
        await gateway.WatchAsync(created.Job.Name);
        using var http = new HttpClient { BaseAddress = new Uri(gateway.HttpAddress) };
        using JsonDocument own = JsonDocument.Parse(await PostAsync(http, "drover.gateway.v1.GatewayService/GetPipeline", $$"""{"name": "{{created.Job.Name}}"}""", HttpStatusCode.OK));
        Assert.Equal("JOB_STATE_SUCCEEDED", own.RootElement.GetProperty("pipeline").GetProperty("job").GetProperty("state").GetString());
        using JsonDocument passed = JsonDocument.Parse(await PostAsync(http, "drover.tokenizer.v1.TokenizerService/ListTokenizerJobs", "", HttpStatusCode.OK));
        Assert.Equal(2, passed.RootElement.GetProperty("jobs").GetArrayLength());

        string[] lines = (await PostAsync(http, "drover.gateway.v1.GatewayService/WatchPipeline", $$"""{"name": "{{created.Job.Name}}", "fromRevision": 2}""", HttpStatusCode.OK)).TrimEnd().Split('\n');
        Assert.Equal("3", JsonDocument.Parse(lines[0]).RootElement.GetProperty("event").GetProperty("revision").GetString());
    }

    [Theory]
    [InlineData("drover.gateway.v1.GatewayService/GetPipeline", """{"name": "jobs/none"}""", HttpStatusCode.NotFound, "JOB_NOT_FOUND")]
    [InlineData("drover.gateway.v1.GatewayService/GetPipeline", """{"nme": "jobs/none"}""", HttpStatusCode.BadRequest, "INVALID_JSON")]
    [InlineData("drover.gateway.v1.GatewayService/GetPipeline", """{"name": """, HttpStatusCode.BadRequest, "INVALID_JSON")]
    [InlineData("drover.gateway.v1.GatewayService/ListPipelines", """{"pageSize": "99999999999999999999"}""", HttpStatusCode.BadRequest, "INVALID_JSON")]
    [InlineData("drover.gateway.v1.GatewayService/WatchPipeline", """{"name": "jobs/none"}""", HttpStatusCode.NotFound, "JOB_NOT_FOUND")]
    [InlineData("drover.gateway.v1.GatewayService/UploadInput", "{}", HttpStatusCode.NotImplemented, "CLIENT_STREAM")]
    [InlineData("drover.gateway.v1.GatewayService/Fly", "{}", HttpStatusCode.NotFound, "RPC_NOT_FOUND")]
    [InlineData("drover.trainer.v1.TrainerService/ListTrainingJobs", "{}", HttpStatusCode.ServiceUnavailable, "UNAVAILABLE")]
    public async Task A_failure_is_a_status_with_its_reason(string rpc, string body, HttpStatusCode code, string reason)
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(gateway.HttpAddress) };
        using JsonDocument failure = JsonDocument.Parse(await PostAsync(http, rpc, body, code));
        Assert.Equal(reason, failure.RootElement.GetProperty("details")[0].GetProperty("reason").GetString());
        Assert.NotEqual("", failure.RootElement.GetProperty("message").GetString());
    }

    [Fact]
    public async Task The_scope_of_an_rpc_holds_for_its_json_form_too()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync("http", true, "--Security:Authentication=keys");
        using var http = new HttpClient { BaseAddress = new Uri(gateway.HttpAddress) };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", File.ReadAllText(gateway.Folder["access/admin.key"]).Trim());
        using JsonDocument made = JsonDocument.Parse(await PostAsync(http, "drover.gateway.v1.AccessService/CreateKey", """{"name": "narrow", "scopes": ["read"]}""", HttpStatusCode.OK));
        await PostAsync(http, "drover.dataprep.v1.DataPrepWorkerService/LeaseTask", "{}", HttpStatusCode.Forbidden);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", made.RootElement.GetProperty("text").GetString());
        await PostAsync(http, "drover.tokenizer.v1.TokenizerService/ListTokenizerJobs", "{}", HttpStatusCode.OK);
        foreach (string rpc in (string[])["drover.gateway.v1.AccessService/CreateKey", "drover.gateway.v1.AccessService/CreateKey/", "drover.gateway.v1.AccessService/Create%4bey", "drover.gateway.v1.AccessService/ListKeys", "drover.gateway.v1.GatewayService/CreatePipeline", "drover.gateway.v1.AccessService/listkeys", "x/..%2fListKeys"])
            await PostAsync(http, rpc, "{}", HttpStatusCode.Forbidden);
        http.DefaultRequestHeaders.Authorization = null;
        await PostAsync(http, "drover.tokenizer.v1.TokenizerService/ListTokenizerJobs", "{}", HttpStatusCode.Unauthorized);
    }

    [Fact]
    public void The_openapi_document_has_every_rpc_and_every_schema_that_it_refers_to()
    {
        using JsonDocument document = JsonDocument.Parse(OpenApi.Document);
        JsonElement paths = document.RootElement.GetProperty("paths"), schemas = document.RootElement.GetProperty("components").GetProperty("schemas");
        foreach (MethodDescriptor method in DroverRpcs.Methods.Where(m => !m.IsClientStreaming))
            Assert.True(paths.TryGetProperty($"/v1/rpc{DroverRpcs.PathOf(method)}", out _), method.FullName);
        Assert.True(paths.TryGetProperty("/v1/keys/{id}:revoke", out _));
        MatchCollection references = Reference().Matches(OpenApi.Document);
        Assert.NotEmpty(references);
        Assert.All(references.Select(m => m.Groups[1].Value).Distinct(), name => Assert.True(schemas.TryGetProperty(name, out _), name));
    }

    [Fact]
    public async Task Metrics_tell_of_services_jobs_and_nothing_without_a_key()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync("http", true, "--Security:Authentication=keys");
        using var http = new HttpClient { BaseAddress = new Uri(gateway.HttpAddress) };
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync(new Uri("/metrics", UriKind.Relative), Cancellation)).StatusCode);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", File.ReadAllText(gateway.Folder["access/admin.key"]).Trim());
        await PostAsync(http, "drover.tokenizer.v1.TokenizerService/CreateExpansion", """{"spec": {"name": "e"}}""", HttpStatusCode.OK);
        string text = await http.GetStringAsync(new Uri("/metrics", UriKind.Relative), Cancellation);
        Assert.Contains("drover_service_up{service=\"tokenizer\"} 1\n", text, StringComparison.Ordinal);
        Assert.Contains("drover_service_up{service=\"trainer\"} 0\n", text, StringComparison.Ordinal);
        Assert.Matches("drover_jobs\\{kind=\"expansion\",state=\"\\w+\"\\} 1\n", text);
        Assert.All(text.TrimEnd().Split('\n'), line => Assert.Matches(@"^(# (HELP|TYPE) drover_\w+ .+|drover_\w+(\{\w+=""[^""]*""(,\w+=""[^""]*"")*\})? \S+)$", line));

        // What the Grafana dashboard draws is there.
        string dashboard = File.ReadAllText(Path.Combine(Testing.Checkout.Root, "deploy", "grafana", "drover.json"));
        foreach (Match used in Metric().Matches(dashboard))
            Assert.Contains($"# TYPE {used.Value} ", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_dashboard_is_open_holds_no_data_and_asks_for_nothing_elsewhere()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync("http", false, "--Security:Authentication=keys");
        using var http = new HttpClient { BaseAddress = new Uri(gateway.HttpAddress) };
        var waiting = new Queue<string>(["/"]);
        var seen = new HashSet<string>();
        while (waiting.TryDequeue(out string? path))
        {
            if (!seen.Add(path))
                continue;
            using HttpResponseMessage answer = await http.GetAsync(new Uri(path, UriKind.Relative), Cancellation);
            Assert.True(answer.IsSuccessStatusCode, $"{path}: {answer.StatusCode}");
            Assert.Contains("default-src 'none'", string.Join(' ', answer.Headers.GetValues("Content-Security-Policy")), StringComparison.Ordinal);
            string text = await answer.Content.ReadAsStringAsync(Cancellation);
            Assert.DoesNotContain(Outside().Matches(text).Select(m => m.Value), url => !url.StartsWith("http://www.w3.org/", StringComparison.Ordinal));
            foreach (Match part in Part().Matches(text))
                waiting.Enqueue(part.Groups[1].Value.StartsWith('.') ? "/dashboard/" + part.Groups[1].Value[2..] : part.Groups[1].Value);
            foreach (Match used in Call().Matches(text))
                Assert.Contains(DroverRpcs.Methods, m => m.Service.Name == used.Groups[1].Value && m.Name == used.Groups[2].Value);
        }

        Assert.True(seen.Count >= 8, string.Join(' ', seen));
    }

    private static async Task<string> PostAsync(HttpClient http, string rpc, string body, HttpStatusCode expected)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await http.PostAsync(new Uri($"/v1/rpc/{rpc}", UriKind.Relative), content, Cancellation);
        string text = await answer.Content.ReadAsStringAsync(Cancellation);
        Assert.True(answer.StatusCode == expected, $"{rpc}: {answer.StatusCode} {text}");
        return text;
    }

    [GeneratedRegex("\"#/components/schemas/([^\"]+)\"")]
    private static partial Regex Reference();

    [GeneratedRegex(@"drover_[a-z_]+")]
    private static partial Regex Metric();

    [GeneratedRegex(@"https?://[^\s""'`]+")]
    private static partial Regex Outside();

    [GeneratedRegex(@"(?:from|href=|src=)\s?""((?:/dashboard/|\./)[\w.]+)""")]
    private static partial Regex Part();

    [GeneratedRegex(@"(?:call\(|\[)""(\w+Service)"", ""((?:Get|List|Create|Cancel|Watch)\w+)""")]
    private static partial Regex Call();
}
