using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Drover.Checkpoint;
using Drover.Discovery;
using Drover.Discovery.Consul;
using Drover.Errors;
using Drover.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Drover.Hosting.Tests;

/// <summary>
/// Tokens of a real Consul with access control (acl { enabled = true, default_policy = "deny" }): DROVER_TEST_CONSUL_ACL_ADDRESS, and
/// DROVER_TEST_CONSUL_ACL_TOKEN, which may make tokens.
/// </summary>
public sealed class ConsulAccessTests
{
    // As docs/discovery.md gives it.
    private const string Rules = """service_prefix "drover-" { policy = "write" } node_prefix "" { policy = "read" }""";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_service_with_a_token_of_the_documented_rules_enters_is_found_and_leaves()
    {
        string token = await TokenAsync();
        using ConsulClient consul = new(OptionsOf(token));
        await using (Service service = await Service.StartAsync(token))
        {
            await service.UntilAsync("In Consul's catalogue");
            Assert.True(await consul.IsRegisteredAsync(service.Id, Cancellation));
            (IReadOnlyList<ConsulInstance> found, long index) = await consul.FindAsync("drover-checkpoint", 0, Cancellation);
            // Its first check may be still to come.
            while (!found.Any(i => i.Id == service.Id))
                (found, index) = await consul.FindAsync("drover-checkpoint", index, Cancellation);
            Assert.Equal(service.Port, found.Single(i => i.Id == service.Id).Port);
            await service.StopAsync();
            Assert.False(await consul.IsRegisteredAsync(service.Id, Cancellation));
        }
    }

    [Fact]
    public async Task A_wrong_token_is_told_in_one_line_that_names_the_setting_and_the_service_goes_on_trying()
    {
        string wrong = Guid.NewGuid().ToString();
        using ConsulClient consul = new(OptionsOf(wrong));
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => consul.FindAsync("drover-checkpoint", 0, Cancellation));
        Assert.Equal((FailureCode.PermissionDenied, "CONSUL_FORBIDS"), (e.Code, e.Reason));
        await using Service service = await Service.StartAsync(wrong);
        string told = await service.UntilAsync("Discovery:ConsulToken");
        Assert.Contains("403", told, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', told);
        Assert.DoesNotContain(wrong, told, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", told, StringComparison.Ordinal);
    }

    private static DiscoveryOptions OptionsOf(string token) => new() { ConsulAddress = Require("DROVER_TEST_CONSUL_ACL_ADDRESS"), ConsulToken = token };

    // A token that may do what the documentation says and no more.
    private static async Task<string> TokenAsync()
    {
        using var http = new HttpClient { BaseAddress = new Uri(Require("DROVER_TEST_CONSUL_ACL_ADDRESS")) };
        http.DefaultRequestHeaders.Add("X-Consul-Token", Require("DROVER_TEST_CONSUL_ACL_TOKEN"));
        async Task<JsonNode> PutAsync(string path, JsonObject body)
        {
            using HttpResponseMessage answer = await http.PutAsJsonAsync(path, body, Cancellation);
            answer.EnsureSuccessStatusCode();
            return (await answer.Content.ReadFromJsonAsync<JsonNode>(Cancellation))!;
        }

        JsonNode policy = await PutAsync("/v1/acl/policy", new JsonObject { ["Name"] = $"drover-{Guid.NewGuid():N}", ["Rules"] = Rules });
        JsonNode token = await PutAsync("/v1/acl/token", new JsonObject { ["Policies"] = new JsonArray(new JsonObject { ["ID"] = policy["ID"]!.GetValue<string>() }) });
        return token["SecretID"]!.GetValue<string>();
    }

    private static string Require(string variable)
    {
        string value = Environment.GetEnvironmentVariable(variable) ?? "";
        Assert.SkipWhen(value.Length == 0, $"needs a real server: {variable} is not set");
        return value;
    }

    /// <summary>A checkpoint service, and what it logs.</summary>
    private sealed class Service : IAsyncDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private readonly KeptLog _log = new();
        private WebApplication? _app;

        public int Port { get; } = LoopbackPort.Free();

        public string Id => $"drover-checkpoint-{Environment.MachineName}-{Port}".ToLowerInvariant();

        public static async Task<Service> StartAsync(string token)
        {
            var service = new Service();
            service._app = CheckpointModule.Build([$"--Services:checkpoint=http://127.0.0.1:{service.Port}", "--Checkpoint:HubAddress=", $"--Drover:DataFolder={service._folder.Path}", $"--Discovery:ConsulAddress={Require("DROVER_TEST_CONSUL_ACL_ADDRESS")}", $"--Discovery:ConsulToken={token}"]);
            service._app.Services.GetRequiredService<ILoggerFactory>().AddProvider(service._log);
            await service._app.StartAsync(Cancellation);
            return service;
        }

        /// <summary>Waits for a line of the log.</summary>
        public async Task<string> UntilAsync(string part)
        {
            while (true)
            {
                if (_log.Lines.FirstOrDefault(l => l.Text.Contains(part, StringComparison.Ordinal)) is { } line)
                    return line.Text;
                await Task.Delay(50, Cancellation);
            }
        }

        public Task StopAsync() => _app!.StopAsync(Cancellation);

        public async ValueTask DisposeAsync()
        {
            await _app!.StopAsync(CancellationToken.None);
            await _app.DisposeAsync();
            _folder.Dispose();
        }
    }
}
