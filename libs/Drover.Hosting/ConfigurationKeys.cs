using Drover.Discovery;
using Drover.Errors;
using Microsoft.Extensions.Configuration;

namespace Drover.Hosting;

/// <summary>
/// Every key of the configuration, of all services: they may share one file and one set of DROVER_* variables. A key that is not here
/// is refused at start, or a misspelt one would be a default that nobody asked for.
/// </summary>
public static class ConfigurationKeys
{
    private const string EnvironmentPrefix = "DROVER_";

    /// <summary>Keys by section.</summary>
    public static IReadOnlyDictionary<string, IReadOnlyList<string>> Sections { get; } = new Dictionary<string, IReadOnlyList<string>>(StringComparer.OrdinalIgnoreCase)
    {
        ["Drover"] = ["DataFolder"],
        ["Services"] = [.. ServiceNames.DefaultAddresses.Keys],
        ["ObjectStore"] = ["Folder", "S3Endpoint", "S3Bucket", "S3Region", "S3AccessKey", "S3SecretKey", "S3CredentialsFile", "S3Profile", "S3CertificateFile", "S3PatienceSeconds"],
        ["Discovery"] = ["ConsulAddress", "ConsulToken", "ConsulCertificateFile", "AdvertiseHost", "DeregisterSeconds"],
        ["Security"] = ["Authentication", "ServiceKey", "AdminKey", "CertificateFile", "PrivateKeyFile", "AuthorityFile", "RequestsPerSecond", "AuditFile"],
        ["Telemetry"] = ["OtlpEndpoint", "LogFormat"],
        ["Jobs"] = ["DatabasePath", "Slots"],
        ["Gateway"] = ["HttpAddress", "RetryDelay", "RetryDelayMax", "Patience"],
        ["DataPrep"] = ["Role", "Workers", "LeaseSeconds"],
        ["Checkpoint"] = ["HubAddress", "PresignedAddresses", "ImportAddresses", "ImportTokenFile"],
        ["Trainer"] = ["WorkerPath", "MpirunPath", "HostFile", "LaunchAgent", "Binding", "Cores", "StopSeconds"],
    };

    /// <summary>What is wrong with a key such as "Jobs:Slots", or null.</summary>
    public static string? Problem(string key)
    {
        string[] parts = key.Split(ConfigurationPath.KeyDelimiter);
        // .NET's own: levels of the log.
        if (parts[0].Equals("Logging", StringComparison.OrdinalIgnoreCase))
            return null;
        if (!Sections.TryGetValue(parts[0], out IReadOnlyList<string>? keys))
            return $"'{key}' is no key; there are the sections {string.Join(", ", Sections.Keys)}";
        return parts.Length == 2 && keys.Contains(parts[1], StringComparer.OrdinalIgnoreCase) ? null : $"'{key}' is no key; {parts[0]} has {string.Join(", ", keys)}";
    }

    /// <summary>Refuses keys that nobody reads.</summary>
    /// <exception cref="DroverException">InvalidArgument, naming them all.</exception>
    internal static void Check(IConfiguration configuration)
    {
        string[] problems = [.. configuration.AsEnumerable()
            .Where(entry => entry.Value is not null && !IsOfOthers(entry.Key))
            .Select(entry => Problem(entry.Key)).OfType<string>().Order(StringComparer.Ordinal)];
        if (problems.Length > 0)
            throw new DroverException(FailureCode.InvalidArgument, "UNKNOWN_CONFIGURATION_KEY", $"Configuration: {string.Join("; ", problems)}.");
    }

    // --config itself, and variables without a section, which are the command line's (DROVER_GATEWAY) and not a service's.
    private static bool IsOfOthers(string key) =>
        key.Equals("config", StringComparison.OrdinalIgnoreCase)
        || (!key.Contains(ConfigurationPath.KeyDelimiter, StringComparison.Ordinal)
            && Environment.GetEnvironmentVariables().Keys.Cast<string>().Contains(EnvironmentPrefix + key, StringComparer.OrdinalIgnoreCase));
}
