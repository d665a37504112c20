using Drover.Errors;
using Microsoft.Extensions.Configuration;

namespace Drover.Discovery;

/// <summary>Addresses from configuration (section "Services"), with the defaults for what is not there.</summary>
public sealed class StaticServiceDirectory : IServiceDirectory
{
    private readonly Dictionary<string, Uri> _addresses = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Reads the table.</summary>
    /// <exception cref="DroverException">InvalidArgument, naming every entry that is wrong.</exception>
    public StaticServiceDirectory(IConfiguration configuration)
    {
        var problems = new List<string>();
        foreach ((string service, string fallback) in ServiceNames.DefaultAddresses)
        {
            string text = configuration[$"Services:{service}"] ?? fallback;
            if (Uri.TryCreate(text, UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https")
                _addresses[service] = address!;
            else
                problems.Add($"Services:{service} is '{text}'; write e.g. {fallback}");
        }

        if (problems.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_SERVICE_TABLE", string.Join("; ", problems) + ".");
    }

    /// <inheritdoc />
    public Uri Find(string service) =>
        _addresses.TryGetValue(service, out Uri? address)
            ? address
            : throw new DroverException(FailureCode.Unavailable, "SERVICE_UNKNOWN", $"No address is known for the service '{service}'.");
}
