using System.Diagnostics;
using System.Text.RegularExpressions;
using Drover.Discovery;
using Drover.Testing;
using YamlDotNet.RepresentationModel;

namespace Drover.Hosting.Tests;

/// <summary>deploy/kubernetes, held against itself and the configuration: no cluster is needed for it.</summary>
public sealed partial class KubernetesTests
{
    private static readonly YamlMappingNode[] Objects = [.. Directory.GetFiles(Path.Combine(Checkout.Root, "deploy", "kubernetes"), "*.yaml").SelectMany(Read)];

    [Fact]
    public void Every_object_has_a_version_a_kind_and_a_name_of_its_own()
    {
        Assert.All(Objects, o => Assert.NotEqual("", Text(o, "apiVersion") + Text(o, "kind")));
        string[] names = [.. Objects.Select(o => $"{Text(o, "kind")} {Text(o, "metadata", "name")}")];
        Assert.Equal(names.Distinct(), names);
        Assert.DoesNotContain(names, n => n.EndsWith(' '));
    }

    [Fact]
    public void Every_service_of_Drover_has_pods_and_an_address_that_leads_to_them()
    {
        YamlMappingNode config = Assert.Single(Objects, o => Text(o, "kind") == "ConfigMap" && Text(o, "metadata", "name") == "drover");
        foreach (string service in ServiceNames.DefaultAddresses.Keys)
        {
            YamlMappingNode address = Assert.Single(Objects, o => Text(o, "kind") == "Service" && Text(o, "metadata", "name") == service);
            YamlMappingNode pods = Assert.Single(Objects, o => Text(o, "kind") == "StatefulSet" && Text(o, "metadata", "name") == service);
            Assert.Equal(Text(address, "spec", "selector", "app"), Text(pods, "spec", "template", "metadata", "labels", "app"));
            var url = new Uri(Text(config, "data", $"DROVER_Services__{service}"));
            Assert.Equal(service, url.Host);
            Assert.Equal(url.Port, int.Parse(Text(address, "spec", "ports", "0", "port"), System.Globalization.CultureInfo.InvariantCulture));
        }
    }

    [Fact]
    public void Every_variable_of_Drover_is_a_key_of_the_configuration()
    {
        string[] variables = [.. Objects.SelectMany(o => Scalars(o)).Where(t => Variable().IsMatch(t)).Distinct()];
        Assert.Contains("DROVER_Trainer__HostFile", variables);
        foreach (string variable in variables)
            Assert.True(ConfigurationKeys.Problem(variable["DROVER_".Length..].Replace("__", ":", StringComparison.Ordinal)) is null, variable);
    }

    [Fact]
    public void Every_volume_that_is_mounted_is_there_and_every_pod_that_ranks_are_started_in_too()
    {
        foreach (YamlMappingNode set in Objects.Where(o => Text(o, "kind") == "StatefulSet"))
        {
            string[] there = [.. Names(set, "spec", "template", "spec", "volumes"), .. Items(set, "spec", "volumeClaimTemplates").Select(c => Text(c, "metadata", "name"))];
            foreach (YamlNode container in Items(set, "spec", "template", "spec", "containers").Concat(Items(set, "spec", "template", "spec", "initContainers")))
                Assert.All(Names(container, "volumeMounts"), name => Assert.Contains(name, there));
        }

        YamlMappingNode ranks = Assert.Single(Objects, o => Text(o, "kind") == "StatefulSet" && Text(o, "metadata", "name") == "drover-rank");
        string[] hosts = Text(Assert.Single(Objects, o => Text(o, "kind") == "ConfigMap" && Text(o, "metadata", "name") == "ranks"), "data", "hosts").TrimEnd().Split('\n');
        int replicas = int.Parse(Text(ranks, "spec", "replicas"), System.Globalization.CultureInfo.InvariantCulture);
        Assert.Equal(Enumerable.Range(0, replicas).Select(i => $"drover-rank-{i}"), hosts.Select(line => line.Split(' ')[0]));
    }

    [Fact]
    public async Task The_launch_agent_is_a_shell_script()
    {
        string script = Text(Assert.Single(Objects, o => Text(o, "kind") == "ConfigMap" && Text(o, "metadata", "name") == "ranks"), "data", "launch-agent");
        using Process shell = Process.Start(new ProcessStartInfo("sh", ["-n"]) { RedirectStandardInput = true })!;
        await shell.StandardInput.WriteAsync(script);
        shell.StandardInput.Close();
        await shell.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, shell.ExitCode);
    }

    private static IEnumerable<YamlMappingNode> Read(string file)
    {
        var yaml = new YamlStream();
        using StreamReader text = File.OpenText(file);
        yaml.Load(text);
        return yaml.Documents.Select(d => (YamlMappingNode)d.RootNode);
    }

    private static YamlNode? Find(YamlNode node, params string[] path)
    {
        foreach (string key in path)
        {
            YamlNode? next = node switch
            {
                YamlMappingNode map => map.Children.TryGetValue(new YamlScalarNode(key), out YamlNode? value) ? value : null,
                YamlSequenceNode list => list.Children.ElementAtOrDefault(int.Parse(key, System.Globalization.CultureInfo.InvariantCulture)),
                _ => null,
            };
            if (next is null)
                return null;
            node = next;
        }

        return node;
    }

    private static string Text(YamlNode node, params string[] path) => Find(node, path) is YamlScalarNode { Value: { } text } ? text : "";

    private static IEnumerable<YamlNode> Items(YamlNode node, params string[] path) => Find(node, path) is YamlSequenceNode list ? list.Children : [];

    private static IEnumerable<string> Names(YamlNode node, params string[] path) => Items(node, path).Select(item => Text(item, "name"));

    private static IEnumerable<string> Scalars(YamlNode node) => node.AllNodes.OfType<YamlScalarNode>().Select(s => s.Value ?? "");

    [GeneratedRegex("^DROVER_[A-Za-z0-9]+__[A-Za-z0-9]+$")]
    private static partial Regex Variable();
}
