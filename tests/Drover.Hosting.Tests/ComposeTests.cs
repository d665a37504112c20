using System.Text.RegularExpressions;
using Drover.Testing;
using YamlDotNet.Core;
using YamlDotNet.Serialization;

namespace Drover.Hosting.Tests;

/// <summary>docker-compose.yml, held against the repository: no container engine is needed for it.</summary>
public sealed partial class ComposeTests
{
    private static readonly Dictionary<string, Service> Services = Read();

    private static IEnumerable<KeyValuePair<string, Service>> Ours => Services.Where(s => s.Value.Build is not null);

    [Fact]
    public void Every_service_of_Drover_is_there()
    {
        foreach (string name in ConfigurationKeys.Sections["Services"])
            Assert.True(Services.ContainsKey(name), $"docker-compose.yml has no service '{name}'");
    }

    [Fact]
    public void Every_variable_of_Drover_is_a_key_of_the_configuration()
    {
        int known = 0;
        foreach ((string name, Service service) in Services)
        {
            foreach (string variable in service.Environment.Keys.Where(v => v.StartsWith("DROVER_", StringComparison.Ordinal)))
            {
                string? problem = ConfigurationKeys.Problem(variable["DROVER_".Length..].Replace("__", ":", StringComparison.Ordinal));
                Assert.True(problem is null, $"{name}: {variable}: {problem}");
                known++;
            }
        }

        Assert.True(known > Ours.Count(), "no service is configured");
    }

    [Fact]
    public void Every_address_names_the_container_that_listens_there()
    {
        foreach ((string name, Service service) in Ours)
        {
            foreach ((string variable, string value) in service.Environment.Where(v => v.Key.StartsWith("DROVER_Services__", StringComparison.Ordinal)))
                Assert.Equal(variable["DROVER_Services__".Length..], new Uri(value).Host);
            Assert.True(Services.ContainsKey(new Uri(service.Environment["DROVER_ObjectStore__S3Endpoint"]).Host), name);
        }
    }

    [Fact]
    public void Every_image_is_built_from_a_Dockerfile_and_a_project_that_exist_and_runs_that_project()
    {
        foreach ((string name, Service service) in Ours)
        {
            Assert.True(File.Exists(Path.Combine(Checkout.Root, service.Build!.Dockerfile)), $"{name}: there is no '{service.Build.Dockerfile}'");
            string project = service.Build.Args["PROJECT"], program = Path.GetFileName(project);
            Assert.True(File.Exists(Path.Combine(Checkout.Root, project, program + ".csproj")), $"{name}: there is no project '{project}'");
            Assert.Equal(program + ".dll", Assert.Single(service.Command));
        }
    }

    [Fact]
    public void Every_project_that_a_Dockerfile_publishes_exists_and_libtorch_is_in_the_trainer_alone()
    {
        foreach (string file in Directory.GetFiles(Path.Combine(Checkout.Root, "build", "docker"), "*.Dockerfile"))
        {
            string text = File.ReadAllText(file);
            Assert.All(PublishedProject().Matches(text).Select(m => m.Groups[1].Value), project => Assert.True(Directory.Exists(Path.Combine(Checkout.Root, project)), $"{file}: there is no '{project}'"));
            Assert.Equal(Path.GetFileName(file) == "trainer.Dockerfile", text.Contains("Drover.Trainer.Worker", StringComparison.Ordinal));
        }

        Assert.Equal(["trainer"], Ours.Where(s => s.Value.Build!.Dockerfile.EndsWith("trainer.Dockerfile", StringComparison.Ordinal)).Select(s => s.Key));
    }

    private static Dictionary<string, Service> Read()
    {
        using StreamReader text = File.OpenText(Path.Combine(Checkout.Root, "docker-compose.yml"));
        var yaml = new DeserializerBuilder().IgnoreUnmatchedProperties().Build();
        return yaml.Deserialize<Compose>(new MergingParser(new Parser(text))).Services;
    }

    [GeneratedRegex(@"dotnet publish ([^\s""$]+)")]
    private static partial Regex PublishedProject();

    private sealed class Compose
    {
        // Read before the services that refer to it.
        [YamlMember(Alias = "x-drover")]
        public Dictionary<string, string> Shared { get; set; } = [];

        [YamlMember(Alias = "services")]
        public Dictionary<string, Service> Services { get; set; } = [];
    }

    private sealed class Service
    {
        [YamlMember(Alias = "build")]
        public Image? Build { get; set; }

        [YamlMember(Alias = "command")]
        public List<string> Command { get; set; } = [];

        [YamlMember(Alias = "environment")]
        public Dictionary<string, string> Environment { get; set; } = [];
    }

    private sealed class Image
    {
        [YamlMember(Alias = "dockerfile")]
        public string Dockerfile { get; set; } = "";

        [YamlMember(Alias = "args")]
        public Dictionary<string, string> Args { get; set; } = [];
    }
}
