using System.Text.RegularExpressions;
using Drover.Errors;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Imports;

/// <summary>What an import's spec may say, and where it may fetch from.</summary>
internal sealed partial class ImportRules(CheckpointOptions options, ObjectStoreOptions storeOptions)
{
    /// <summary>What a revision is where none is named.</summary>
    public const string Main = "main";

    private const string TokenVariable = "HF_TOKEN";

    /// <summary>Refuses a spec that can never be done, and addresses that this service does not fetch from.</summary>
    /// <exception cref="DroverException">InvalidArgument, naming every field that is wrong; PermissionDenied.</exception>
    public void Check(ImportSpec? spec)
    {
        if (spec is null)
            throw Refused("spec is missing.");
        var problems = new List<string>();
        if (!PlainWord().IsMatch(spec.Name))
            problems.Add($"name '{spec.Name}' is not one plain word of letters, digits, dots, dashes and underscores (it becomes 'models/<name>').");
        string address = AddressOf(spec);
        if (IsBucket(address))
            problems.AddRange(ProblemsOfBucket(spec));
        else if (!RepositoryId().IsMatch(spec.Repository))
            problems.Add($"repository '{spec.Repository}' is not like 'meta-llama/Llama-3.2-1B'.");
        if (spec.Revision.Any(char.IsControl))
            problems.Add("revision holds characters that no revision has.");
        if (problems.Count > 0)
            throw Refused(string.Join(" ", problems));
    }

    /// <summary>Where a spec fetches from.</summary>
    /// <exception cref="DroverException">PermissionDenied for an address that is not among the service's.</exception>
    public string AddressOf(ImportSpec spec)
    {
        string asked = spec.Address.TrimEnd('/');
        if (options.Addresses.Count > 0 && asked.Length == 0)
            return options.Addresses[0];
        // A service that fetched from anywhere would be everybody's way into its network.
        return options.Addresses.Contains(asked, StringComparer.OrdinalIgnoreCase)
            ? asked
            : throw new DroverException(FailureCode.PermissionDenied, "ADDRESS_NOT_ALLOWED", $"This service imports from {(options.Addresses.Count == 0 ? "nowhere" : string.Join(", ", options.Addresses))}, and not from '{asked}'. Add it to Checkpoint:ImportAddresses.");
    }

    /// <summary>The source at an address.</summary>
    public IImportSource Open(string address, string repository) => IsBucket(address)
        ? new BucketSource(ObjectStores.Open(storeOptions with { S3Bucket = address[BucketSource.Scheme.Length..] }), address, repository.Trim('/'))
        : new HubSource(address, repository, TokenFor(address));

    /// <summary>The token for an address; empty for all but the first.</summary>
    private string TokenFor(string address)
    {
        if (address != options.Addresses[0])
            return "";
        string token = options.ImportTokenFile.Length > 0 ? File.ReadAllText(options.ImportTokenFile) : Environment.GetEnvironmentVariable(TokenVariable) ?? "";
        return token.Trim();
    }

    private static bool IsBucket(string address) => address.StartsWith(BucketSource.Scheme, StringComparison.OrdinalIgnoreCase);

    private static IEnumerable<string> ProblemsOfBucket(ImportSpec spec)
    {
        string? problem = null;
        try
        {
            ObjectKey.Check(spec.Repository.Trim('/'));
        }
        catch (DroverException e)
        {
            problem = e.Message;
        }

        if (problem is not null)
            yield return $"repository '{spec.Repository}' is not a folder of the bucket, such as 'team/llama-1b'. {problem}";
        if (spec.Revision.Length > 0 && spec.Revision != Main)
            yield return $"revision '{spec.Revision}': a bucket has none; leave it empty.";
    }

    private static DroverException Refused(string why) => new(FailureCode.InvalidArgument, "INVALID_IMPORT_SPEC", $"Import: {why}");

    [GeneratedRegex(@"\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\z")]
    private static partial Regex PlainWord();

    [GeneratedRegex(@"\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,95})?\z")]
    private static partial Regex RepositoryId();
}
