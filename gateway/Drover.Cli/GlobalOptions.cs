using System.CommandLine;

namespace Drover.Cli;

/// <summary>Options that every command takes.</summary>
internal static class GlobalOptions
{
    /// <summary>Where the gateway is when nothing is said.</summary>
    public const string DefaultGateway = "http://127.0.0.1:7500";

    public static readonly Option<string> Gateway = new("--gateway")
    {
        Description = $"Address of the gateway; DROVER_GATEWAY sets it for all commands. Default: {DefaultGateway}",
        HelpName = "URL",
        Recursive = true,
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable("DROVER_GATEWAY") is { Length: > 0 } address ? address : DefaultGateway,
    };

    public static readonly Option<bool> Json = new("--json")
    {
        Description = "Write JSON, one object a line, for programs",
        Recursive = true,
    };
}
