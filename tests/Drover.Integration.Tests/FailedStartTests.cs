using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Drover.Testing;

namespace Drover.Integration.Tests;

public class FailedStartTests
{
    [Fact]
    public async Task A_service_whose_port_is_taken_says_so_in_one_line_and_ends()
    {
        using var folder = new TemporaryFolder();
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        string log = folder["service.log"];
        using Process process = DroverPrograms.Start("Drover.Tokenizer", log, folder["config"], new Dictionary<string, string>
        {
            ["DROVER_Services__tokenizer"] = $"http://{taken.LocalEndpoint}",
            ["DROVER_Drover__DataFolder"] = folder["data"],
            ["DROVER_Security__Authentication"] = "none",
        });
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        string[] lines = [.. File.ReadLines(log).Where(l => l.Length > 0)];
        Assert.Equal(1, process.ExitCode);
        Assert.Contains("stop it, or give this one other addresses", Assert.Single(lines, l => l.StartsWith("error:", StringComparison.Ordinal)), StringComparison.Ordinal);
        Assert.DoesNotContain(lines, l => l.Contains("Exception", StringComparison.Ordinal));
    }
}
