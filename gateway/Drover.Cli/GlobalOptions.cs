using System.CommandLine;
using Drover.Client;

namespace Drover.Cli;

/// <summary>Options that every command takes.</summary>
internal static class GlobalOptions
{
    public static readonly Option<string> Gateway = new("--gateway")
    {
        Description = $"Address of the gateway; DROVER_GATEWAY sets it for all commands. Default: {DroverClient.DefaultGateway}",
        HelpName = "URL",
        Recursive = true,
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable("DROVER_GATEWAY") is { Length: > 0 } address ? address : DroverClient.DefaultGateway,
    };

    public static readonly Option<bool> Json = new("--json")
    {
        Description = "Write JSON, one object a line, for programs",
        Recursive = true,
    };
}
