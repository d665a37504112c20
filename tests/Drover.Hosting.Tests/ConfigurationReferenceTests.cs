using System.Globalization;
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Drover.Checkpoint;
using Drover.DataPrep;
using Drover.Discovery;
using Drover.Gateway;
using Drover.Hosting.Security;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Testing;
using Drover.Trainer;

namespace Drover.Hosting.Tests;

/// <summary>docs/configuration.md is written from the options and their comments; this test holds it against them.</summary>
public sealed partial class ConfigurationReferenceTests
{
    private static readonly (string Section, Type Options, string About)[] Sections =
    [
        ("Drover", typeof(DroverOptions), "All services."),
        ("Discovery", typeof(DiscoveryOptions), "All services. See [discovery.md](discovery.md)."),
        ("Security", typeof(SecurityOptions), "All services. See [security.md](security.md)."),
        ("ObjectStore", typeof(ObjectStoreOptions), "All services; the same store for all."),
        ("Telemetry", typeof(TelemetryOptions), "All services. See [gateway.md](gateway.md)."),
        ("Jobs", typeof(JobsOptions), "All services. The gateway's default of `Slots` is 64, since a pipeline only waits for others."),
        ("Gateway", typeof(GatewayOptions), "The gateway."),
        ("DataPrep", typeof(DataPrepOptions), "The dataprep service and its workers."),
        ("Trainer", typeof(TrainerOptions), "The trainer."),
        ("Checkpoint", typeof(CheckpointOptions), "The checkpoint service."),
    ];

    [Fact]
    public void The_reference_says_what_the_options_say()
    {
        string path = Path.Combine(Checkout.Root, "docs", "configuration.md"), expected = Write();
        if (Environment.GetEnvironmentVariable("DROVER_WRITE_DOCS") == "1")
            File.WriteAllText(path, expected);
        Assert.True(File.ReadAllText(path) == expected, "docs/configuration.md is not what the options say; write it anew: DROVER_WRITE_DOCS=1 ./drover test -class '*ConfigurationReferenceTests'");
    }

    [Fact]
    public void Every_section_is_in_the_reference() =>
        Assert.Equal(ConfigurationKeys.Sections.Keys.Order(StringComparer.Ordinal), Sections.Select(s => s.Section).Append("Services").Order(StringComparer.Ordinal));

    private static string Write()
    {
        var text = new StringBuilder("""
            # Configuration

            Defaults, then `--config file.json`, then `DROVER_*` variables (`DROVER_Jobs__Slots` for `Jobs:Slots`), then `--Section:Key=value`. All
            services may share one file and one set of variables; a key that none of them has is refused at start. This page is written from the
            options by a test.

            ## Services

            Where each service listens, and where the others look for it unless Consul says.

            | key | default |
            |---|---|

            """);
        foreach ((string service, string address) in ServiceNames.DefaultAddresses)
            text.Append(CultureInfo.InvariantCulture, $"| `Services:{service}` | `{address}` |\n");
        foreach ((string section, Type options, string about) in Sections)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## {section}\n\n{about}\n\n| key | default | meaning |\n|---|---|---|\n");
            object defaults = Activator.CreateInstance(options)!;
            foreach (PropertyInfo property in options.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.CanWrite))
                text.Append(CultureInfo.InvariantCulture, $"| `{section}:{property.Name}` | {Shown(property.GetValue(defaults))} | {Meaning(property)} |\n");
        }

        return text.ToString();
    }

    private static string Shown(object? value)
    {
        string text = Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
        return text.Length == 0 ? "" : $"`{text}`";
    }

    private static string Meaning(PropertyInfo property)
    {
        XDocument comments = XDocument.Load(Path.ChangeExtension(property.DeclaringType!.Assembly.Location, ".xml"));
        XElement summary = comments.Descendants("member").Single(m => m.Attribute("name")!.Value == $"P:{property.DeclaringType.FullName}.{property.Name}").Element("summary")!;
        foreach (XElement see in summary.Descendants().Where(e => e.Attribute("cref") is not null).ToList())
            see.ReplaceWith($"`{see.Attribute("cref")!.Value.Split('.')[^1]}`");
        return Space().Replace(summary.Value.Trim(), " ").Replace("|", "\\|", StringComparison.Ordinal);
    }

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();
}
