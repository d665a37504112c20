using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Drover.Cli;
using Drover.Client;
using Drover.Hosting.Security;
using Drover.Protocol;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Testing;
using Google.Protobuf.WellKnownTypes;
using Google.Rpc;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Health.V1;
using Grpc.Net.Client;

namespace Drover.Gateway.Tests;

/// <summary>Who may call: with keys on, against a real gateway and a service behind it.</summary>
[Collection("Identity")]
public sealed class AccessTests : IDisposable
{
    private readonly TemporaryFolder _config = new();
    private readonly string? _before = Environment.GetEnvironmentVariable("XDG_CONFIG_HOME");

    public AccessTests() => Environment.SetEnvironmentVariable("XDG_CONFIG_HOME", _config.Path);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        Environment.SetEnvironmentVariable("XDG_CONFIG_HOME", _before);
        _config.Dispose();
    }

    [Fact]
    public async Task Without_a_key_every_rpc_is_refused_but_health()
    {
        await using GatewayFixture gateway = await StartAsync();
        using HttpClient http = Http2(gateway.Address);
        foreach (string rpc in Rpcs.All.Append("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo").Append("/none.of.these/Rpcs"))
        {
            using HttpResponseMessage answer = await http.SendAsync(Rpcs.Empty(rpc), Cancellation);
            Assert.True(Rpcs.StatusOf(answer) == StatusCode.Unauthenticated, $"{rpc} was answered with {Rpcs.StatusOf(answer)}");
        }

        using GrpcChannel channel = GrpcChannel.ForAddress(gateway.Address);
        HealthCheckResponse health = await new Health.HealthClient(channel).CheckAsync(new HealthCheckRequest(), cancellationToken: Cancellation);
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, health.Status);
        RpcException e = await Assert.ThrowsAsync<RpcException>(async () => await new GatewayService.GatewayServiceClient(channel).GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancellation));
        Assert.Equal(StatusCode.Unauthenticated, e.StatusCode);
        Assert.Equal("KEY_MISSING", ReasonOf(e));
        Assert.Contains("drover login", e.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Json_without_a_key_is_refused_and_with_one_answered()
    {
        await using GatewayFixture gateway = await StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(gateway.HttpAddress) };
        foreach (string path in (string[])["/v1/status", "/v1/keys", "/v1/jobs", "/v1/../v1/keys", "/V1/KEYS", "/v1/keys/", "/nothing", "/v1/jobs/..%2f..%2fkeys"])
        {
            using HttpResponseMessage refused = await http.GetAsync(new Uri(path, UriKind.Relative), Cancellation);
            Assert.True(refused.StatusCode == HttpStatusCode.Unauthorized, $"{path} was answered with {refused.StatusCode}");
        }

        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", FirstKeyOf(gateway));
        using JsonDocument status = JsonDocument.Parse(await http.GetStringAsync(new Uri("/v1/status", UriKind.Relative), Cancellation));
        Assert.Equal("tokenizer", status.RootElement.GetProperty("services")[0].GetProperty("service").GetString());
    }

    [Theory]
    [InlineData("/drover.gateway.v1.GatewayService/GetPipeline")]
    [InlineData("/drover.tokenizer.v1.TokenizerService/Encode")]
    [InlineData("/drover.gateway.v1.GatewayService/UploadInput")]
    public async Task A_message_that_cannot_be_read_is_refused_with_the_reason(string rpc)
    {
        await using GatewayFixture gateway = await StartAsync();
        using HttpClient http = Http2(gateway.Address);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", FirstKeyOf(gateway));
        // A field of five bytes, of which one is there.
        using HttpResponseMessage answer = await http.SendAsync(Rpcs.Call(rpc, [0x0A, 5, 0x61]), Cancellation);
        Assert.Equal(StatusCode.InvalidArgument, Rpcs.StatusOf(answer));
        Assert.Contains(Rpcs.DetailsOf(answer)!.Details, any => any.TryUnpack(out Google.Rpc.ErrorInfo info) && info.Reason == "UNREADABLE_REQUEST");
    }

    [Theory]
    [InlineData("", "KEY_MISSING")]
    [InlineData("drover_00000000_0000000000000000000000000000000000000000000000000000000000000000", "KEY_UNKNOWN")]
    [InlineData("drover_../../../x_0000000000000000000000000000000000000000000000000000000000000000", "KEY_UNKNOWN")]
    [InlineData("drover-service_0000000000000000000000000000000000000000000000000000000000000000", "SERVICE_KEY_MISMATCH")]
    [InlineData("hunter2", "KEY_UNKNOWN")]
    public async Task A_wrong_key_is_refused(string key, string reason)
    {
        await using GatewayFixture gateway = await StartAsync();
        RpcException e = await Assert.ThrowsAsync<RpcException>(async () => await StatusAsync(gateway, key));
        Assert.Equal((StatusCode.Unauthenticated, reason), (e.StatusCode, ReasonOf(e)));
    }

    [Fact]
    public async Task An_expired_and_a_revoked_key_are_refused_and_their_neighbours_taken()
    {
        await using GatewayFixture gateway = await StartAsync();
        CreateKeyResponse lasting = await CreateKeyAsync(gateway, "lasting", null, "read");
        CreateKeyResponse brief = await CreateKeyAsync(gateway, "brief", TimeSpan.FromTicks(10), "read");
        RpcException expired = await Assert.ThrowsAsync<RpcException>(async () => await StatusAsync(gateway, brief.Text));
        Assert.Equal((StatusCode.Unauthenticated, "KEY_EXPIRED"), (expired.StatusCode, ReasonOf(expired)));

        await StatusAsync(gateway, lasting.Text);
        await Access(gateway).RevokeKeyAsync(new RevokeKeyRequest { Id = lasting.Key.Id }, cancellationToken: Cancellation);
        RpcException revoked = await Assert.ThrowsAsync<RpcException>(async () => await StatusAsync(gateway, lasting.Text));
        Assert.Equal((StatusCode.Unauthenticated, "KEY_REVOKED"), (revoked.StatusCode, ReasonOf(revoked)));
        await StatusAsync(gateway, FirstKeyOf(gateway));

        ListKeysResponse keys = await Access(gateway).ListKeysAsync(new ListKeysRequest(), cancellationToken: Cancellation);
        Assert.Equal(["first key", "lasting", "brief"], keys.Keys.Select(k => k.Name));
        Assert.DoesNotContain(lasting.Text.Split('_')[2], File.ReadAllText(Path.Combine(gateway.Objects, "access", "keys", $"{lasting.Key.Id}.json")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("read", true, false, false)]
    [InlineData("submit", false, true, false)]
    [InlineData("pull", false, false, false)]
    [InlineData("admin", true, true, true)]
    public async Task A_key_may_do_what_its_scope_says_and_nothing_else(string scope, bool mayRead, bool maySubmit, bool mayMakeKeys)
    {
        await using GatewayFixture gateway = await StartAsync();
        string key = (await CreateKeyAsync(gateway, "narrow", null, scope)).Text;
        CallInvoker caller = Calling(gateway, key);
        await ExpectAsync(mayRead, async () => await new TokenizerService.TokenizerServiceClient(caller).ListTokenizerJobsAsync(new ListTokenizerJobsRequest(), cancellationToken: Cancellation));
        await ExpectAsync(maySubmit, async () => await new GatewayService.GatewayServiceClient(caller).CreatePipelineAsync(new CreatePipelineRequest { Spec = gateway.TwoSteps(), DryRun = true }, cancellationToken: Cancellation));
        await ExpectAsync(mayMakeKeys, async () => await new AccessService.AccessServiceClient(caller).ListKeysAsync(new ListKeysRequest(), cancellationToken: Cancellation));
    }

    [Fact]
    public async Task The_services_behind_know_the_gateway_and_refuse_others()
    {
        await using GatewayFixture gateway = await StartAsync();
        using GrpcChannel direct = GrpcChannel.ForAddress(gateway.TokenizerAddress);
        RpcException e = await Assert.ThrowsAsync<RpcException>(async () => await new TokenizerService.TokenizerServiceClient(direct).ListTokenizerJobsAsync(new ListTokenizerJobsRequest(), cancellationToken: Cancellation));
        Assert.Equal(StatusCode.Unauthenticated, e.StatusCode);
        await new TokenizerService.TokenizerServiceClient(Calling(gateway, FirstKeyOf(gateway))).ListTokenizerJobsAsync(new ListTokenizerJobsRequest(), cancellationToken: Cancellation);
    }

    [Fact]
    public async Task The_command_line_finds_the_key_of_a_gateway_on_this_machine_and_makes_others()
    {
        await using GatewayFixture gateway = await StartAsync();
        (int code, string output, string error) = await CliAsync(gateway, "keys", "create", "anna", "--scope", "read", "--expires", "30d");
        Assert.True(code == ExitCodes.Ok, error);
        Assert.StartsWith("drover_", output, StringComparison.Ordinal);
        await StatusAsync(gateway, output.Trim());
        (code, output, _) = await CliAsync(gateway, "keys", "list");
        Assert.Equal(ExitCodes.Ok, code);
        Assert.Contains("anna", output, StringComparison.Ordinal);

        string kept = Assert.Single(Directory.GetFiles(Path.Combine(_config.Path, "drover", "keys")));
        Assert.True(OperatingSystem.IsWindows() || (UnixFileMode.UserRead | UnixFileMode.UserWrite) == File.GetUnixFileMode(kept));
        File.Delete(kept);
        (code, _, error) = await CliAsync(gateway, "status");
        Assert.Equal(ExitCodes.BadInput, code);
        Assert.Contains("drover login", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_key_that_calls_too_often_is_asked_to_wait()
    {
        await using GatewayFixture gateway = await StartAsync("--Security:RequestsPerSecond=1");
        RpcException e = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            for (int i = 0; i < 50; i++)
                await StatusAsync(gateway, FirstKeyOf(gateway));
        });
        Assert.Equal((StatusCode.ResourceExhausted, "TOO_MANY_CALLS"), (e.StatusCode, ReasonOf(e)));
    }

    [Fact]
    public async Task The_audit_log_tells_who_did_what_and_what_was_refused_and_no_key()
    {
        await using GatewayFixture gateway = await StartAsync();
        CreateKeyResponse anna = await CreateKeyAsync(gateway, "anna", null, "submit");
        await new GatewayService.GatewayServiceClient(Calling(gateway, anna.Text)).CreatePipelineAsync(new CreatePipelineRequest { Spec = gateway.TwoSteps(), DryRun = true }, cancellationToken: Cancellation);
        await Assert.ThrowsAsync<RpcException>(async () => await StatusAsync(gateway, anna.Text));
        await gateway.StopGatewayAsync();
        string log = File.ReadAllText(gateway.Folder["access/audit-gateway.jsonl"]);
        string[] lines = [.. log.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)
            .Select(e => $"{e.GetProperty("caller")} {e.GetProperty("rpc").GetString()!.Split('/')[^1]} {e.GetProperty("status")}")];
        Assert.Equal(["first key CreateKey grpc 0", "anna CreatePipeline grpc 0", "anna GetStatus refused"], lines);
        Assert.DoesNotContain(anna.Text.Split('_')[2], log, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_rpc_has_a_scope_that_somebody_chose()
    {
        string[] admin = [.. Rpcs.All.Where(rpc => RpcScopes.Of(rpc) == Scopes.Admin).Select(rpc => rpc.Split('/')[^1])];
        Assert.Equal(["CreateKey", "ListKeys", "RevokeKey"], admin.Order());
        Assert.Equal(["CompleteTask", "FailTask", "LeaseTask", "PublishCheckpoint", "RenewLease"], Rpcs.All.Where(rpc => RpcScopes.Of(rpc) == Scopes.Service).Select(rpc => rpc.Split('/')[^1]).Order());
    }

    [Fact]
    public void Without_keys_a_service_listens_on_loopback_only()
    {
        Errors.DroverException e = Assert.Throws<Errors.DroverException>(() => GatewayModule.Build(["--Security:Authentication=none", "--Services:gateway=http://0.0.0.0:7500", $"--Drover:DataFolder={_config.Path}"]));
        Assert.Contains("loopback", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_step_whose_service_is_away_when_it_begins_waits_for_it()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync("http", withTokenizer: false, "--Security:Authentication=keys");
        using var client = new DroverClient(gateway.Address, FirstKeyOf(gateway));
        gateway.Script.Gate.Release(100);
        string name = (await client.Gateway.CreatePipelineAsync(new CreatePipelineRequest { Spec = gateway.TwoSteps() }, cancellationToken: Cancellation)).Pipeline.Job.Name;
        await foreach (PipelineEvent update in client.WatchPipelineAsync(name, cancellation: Cancellation))
        {
            // The second try of the same call is the one that is answered.
            if (update.Event.Log?.Message.Contains("does not answer; waiting for it", StringComparison.Ordinal) == true)
                await gateway.StartTokenizerAsync();
        }

        Pipeline pipeline = (await client.Gateway.GetPipelineAsync(new GetPipelineRequest { Name = name }, cancellationToken: Cancellation)).Pipeline;
        Assert.True(pipeline.Job.State == JobState.Succeeded, pipeline.Job.Failure?.Message);
    }

    [Fact]
    public async Task Headers_that_a_user_gives_to_two_calls_carry_the_key_once_each()
    {
        await using GatewayFixture gateway = await StartAsync();
        using var client = new DroverClient(gateway.Address, FirstKeyOf(gateway));
        var options = new CallOptions(new Metadata { { CallHeaders.Priority, "-5" } }, cancellationToken: Cancellation);
        for (int call = 0; call < 2; call++)
            await client.Gateway.GetStatusAsync(new GetStatusRequest(), options);
        Assert.Single(options.Headers!);
    }

    private static Task<GatewayFixture> StartAsync(params string[] settings) => GatewayFixture.StartAsync("http", true, ["--Security:Authentication=keys", .. settings]);

    private static string FirstKeyOf(GatewayFixture gateway) => File.ReadAllText(gateway.Folder["access/admin.key"]).Trim();

    private static CallInvoker Calling(GatewayFixture gateway, string key) =>
        GrpcChannel.ForAddress(gateway.Address).Intercept(headers =>
        {
            if (key.Length > 0)
                headers.Add("authorization", $"Bearer {key}");
            return headers;
        });

    private static AccessService.AccessServiceClient Access(GatewayFixture gateway) => new(Calling(gateway, FirstKeyOf(gateway)));

    private static async Task StatusAsync(GatewayFixture gateway, string key) =>
        await new GatewayService.GatewayServiceClient(Calling(gateway, key)).GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancellation);

    private static async Task<CreateKeyResponse> CreateKeyAsync(GatewayFixture gateway, string name, TimeSpan? lifetime, params string[] scopes) =>
        await Access(gateway).CreateKeyAsync(new CreateKeyRequest { Name = name, Scopes = { scopes }, Lifetime = lifetime is { } time ? Duration.FromTimeSpan(time) : null }, cancellationToken: Cancellation);

    private static async Task ExpectAsync(bool isAllowed, Func<Task> call)
    {
        if (isAllowed)
        {
            await call();
            return;
        }

        RpcException e = await Assert.ThrowsAsync<RpcException>(call);
        Assert.Equal((StatusCode.PermissionDenied, "SCOPE_MISSING"), (e.StatusCode, ReasonOf(e)));
    }

    private static string? ReasonOf(RpcException e) => e.GetRpcStatus()?.GetDetail<ErrorInfo>()?.Reason;

    private static HttpClient Http2(string address) => new() { BaseAddress = new Uri(address), DefaultRequestVersion = HttpVersion.Version20, DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact };

    private static async Task<(int Code, string Output, string Error)> CliAsync(GatewayFixture gateway, params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = await CommandLine.RunAsync([.. args, "--gateway", gateway.Address], output, error, Cancellation);
        return (code, output.ToString(), error.ToString());
    }
}
