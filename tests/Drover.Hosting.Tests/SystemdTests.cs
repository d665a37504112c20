using Drover.Testing;

namespace Drover.Hosting.Tests;

/// <summary>deploy/systemd, held against the configuration: systemd itself is not needed.</summary>
public sealed class SystemdTests
{
    private static readonly string[] Lines = [.. Directory.GetFiles(Path.Combine(Checkout.Root, "deploy", "systemd")).SelectMany(File.ReadAllLines)];

    [Fact]
    public void Every_variable_of_Drover_is_a_key_of_the_configuration_also_in_a_comment()
    {
        string[] variables = [.. Lines.Select(line => line.TrimStart('#')).Select(line => line.StartsWith("Environment=", StringComparison.Ordinal) ? line["Environment=".Length..] : line)
            .Where(line => line.StartsWith("DROVER_", StringComparison.Ordinal)).Select(line => line.Split('=')[0])];
        Assert.True(variables.Length > 8);
        foreach (string variable in variables)
            Assert.True(ConfigurationKeys.Problem(variable["DROVER_".Length..].Replace("__", ":", StringComparison.Ordinal)) is null, variable);
    }

    [Fact]
    public void The_unit_has_the_sections_and_the_program_that_systemd_asks_for()
    {
        foreach (string line in (string[])["[Unit]", "[Service]", "[Install]", "ExecStart=/opt/drover/%i/run"])
            Assert.Contains(line, Lines);
    }
}
