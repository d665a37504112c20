using System.Xml.Linq;

namespace Drover.Architecture.Tests;

/// <summary>Holds the dependency table of docs/architecture.md against the project files: arrows go downward only.</summary>
public class DependencyTests
{
    private static readonly string[] Libs =
        ["Drover.Errors", "Drover.Protocol", "Drover.Discovery", "Drover.ObjectStore", "Drover.Formats", "Drover.Tokenization", "Drover.ChatTemplates", "Drover.Jobs", "Drover.Hosting"];

    // Who may reference whom, directly. A project that is not here fails the test: new rooms are entered on purpose.
    private static readonly Dictionary<string, string[]> Allowed = new(StringComparer.Ordinal)
    {
        ["Drover.Errors"] = [],
        ["Drover.Protocol"] = [],
        // A package for users.
        ["Drover.Client"] = ["Drover.Errors", "Drover.Protocol"],
        ["Drover.Samples.Client"] = ["Drover.Client"],
        ["Drover.Discovery"] = ["Drover.Errors"],
        ["Drover.ObjectStore"] = ["Drover.Errors"],
        ["Drover.Formats"] = ["Drover.Errors", "Drover.ObjectStore"],
        ["Drover.Tokenization"] = ["Drover.Errors", "Drover.ObjectStore", "Drover.Formats"],
        ["Drover.ChatTemplates"] = ["Drover.Errors"],
        ["Drover.Jobs"] = ["Drover.Errors", "Drover.Protocol"],
        ["Drover.Hosting"] = ["Drover.Errors", "Drover.Protocol", "Drover.ObjectStore", "Drover.Discovery"],
        ["Drover.Tokenizer"] = Libs,
        ["Drover.DataPrep"] = Libs,
        ["Drover.Checkpoint"] = Libs,
        ["Drover.Trainer"] = [.. Libs, "Drover.Trainer.Layout"],
        ["Drover.Gateway"] = Libs,
        // The command line talks to the gateway and to nothing else.
        ["Drover.Cli"] = ["Drover.Errors", "Drover.Protocol", "Drover.Client"],
        ["Drover.AllInOne"] = ["Drover.Hosting", "Drover.Tokenizer", "Drover.DataPrep", "Drover.Checkpoint", "Drover.Trainer", "Drover.Gateway"],
        // Where blocks and weights lie, without a tensor: what the service and the ranks share.
        ["Drover.Trainer.Layout"] = ["Drover.Errors", "Drover.Formats"],
        ["Drover.Trainer.Model"] = ["Drover.Errors", "Drover.ObjectStore", "Drover.Formats", "Drover.Trainer.Layout"],
        ["Drover.Trainer.Collectives"] = ["Drover.Errors"],
        ["Drover.Trainer.Parallelism"] = ["Drover.Errors", "Drover.Trainer.Layout", "Drover.Trainer.Model", "Drover.Trainer.Collectives"],
        ["Drover.Trainer.Engine"] = ["Drover.Errors", "Drover.Formats", "Drover.Trainer.Layout", "Drover.Trainer.Model", "Drover.Trainer.Collectives", "Drover.Trainer.Parallelism"],
        ["Drover.Trainer.Worker"] = ["Drover.Errors", "Drover.ObjectStore", "Drover.Formats", "Drover.Tokenization", "Drover.Trainer.Layout", "Drover.Trainer.Model", "Drover.Trainer.Collectives", "Drover.Trainer.Parallelism", "Drover.Trainer.Engine"],
    };

    private static IEnumerable<string> Shipped => Repository.Projects.Where(p =>
        !p.StartsWith("tests/", StringComparison.Ordinal) && !p.StartsWith("benchmarks/", StringComparison.Ordinal));

    [Fact]
    public void Every_reference_is_in_the_table()
    {
        var offences = new List<string>();
        foreach (string project in Shipped)
        {
            string name = Path.GetFileNameWithoutExtension(project);
            if (!Allowed.TryGetValue(name, out string[]? allowed))
            {
                offences.Add($"{name} is not in the table");
                continue;
            }

            offences.AddRange(ReferencesOf(project, "ProjectReference")
                .Select(r => Path.GetFileNameWithoutExtension(r.Replace('\\', '/')))
                .Where(r => !allowed.Contains(r))
                .Select(r => $"{name} references {r}"));
        }

        Assert.Empty(offences);
    }

    [Fact]
    public void Every_line_of_the_table_is_a_project()
    {
        IEnumerable<string> names = Shipped.Select(p => Path.GetFileNameWithoutExtension(p));
        Assert.Empty(Allowed.Keys.Except(names));
    }

    [Fact]
    public void Libtorch_is_carried_by_the_trainer_alone()
    {
        IEnumerable<string> offenders = Repository.Projects
            .Where(p => !p.StartsWith("services/trainer/", StringComparison.Ordinal) && !p.Contains("Trainer", StringComparison.Ordinal))
            .Where(p => !p.StartsWith("benchmarks/", StringComparison.Ordinal))
            .Where(p => ReferencesOf(p, "PackageReference").Any(r => r.Contains("torch", StringComparison.OrdinalIgnoreCase))
                || ReferencesOf(p, "ProjectReference").Any(r => r.Contains("Trainer.Model", StringComparison.Ordinal) || r.Contains("Trainer.Engine", StringComparison.Ordinal)));
        Assert.Empty(offenders);
        // The service starts ranks as processes, so it does not carry it either.
        Assert.DoesNotContain(ReferencesOf("services/trainer/Drover.Trainer/Drover.Trainer.csproj", "ProjectReference"), r => r.Contains("Engine", StringComparison.Ordinal));
    }

    [Fact]
    public void Every_project_is_in_the_solution()
    {
        XDocument solution = XDocument.Load(Path.Combine(Repository.Root, "Drover.slnx"));
        IEnumerable<string> listed = solution.Descendants("Project").Select(p => p.Attribute("Path")!.Value);
        Assert.Empty(Repository.Projects.Except(listed));
    }

    private static IEnumerable<string> ReferencesOf(string project, string kind) =>
        XDocument.Load(Path.Combine(Repository.Root, project)).Descendants(kind).Select(e => e.Attribute("Include")?.Value ?? "");
}
