using Drover.Errors;

namespace Drover.Hosting.Security;

/// <summary>What a caller may do.</summary>
[Flags]
public enum Scopes
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Look: jobs, datasets, checkpoints, plans; encode and decode texts.</summary>
    Read = 1,

    /// <summary>List and fetch models.</summary>
    Pull = 2,

    /// <summary>Start and stop work, upload, generate.</summary>
    Submit = 4,

    /// <summary>Everything that users may do, and keys.</summary>
    Admin = 8,

    /// <summary>Everything, as one of Drover's services.</summary>
    Service = 16,
}

/// <summary>Scopes as words.</summary>
public static class ScopeNames
{
    /// <summary>The scopes that a key may have.</summary>
    public static IReadOnlyDictionary<string, Scopes> OfKeys { get; } = new Dictionary<string, Scopes>(StringComparer.Ordinal)
    {
        ["read"] = Scopes.Read,
        ["pull"] = Scopes.Pull,
        ["submit"] = Scopes.Submit,
        ["admin"] = Scopes.Admin,
    };

    /// <summary>The scopes of these words.</summary>
    /// <exception cref="DroverException">InvalidArgument.</exception>
    public static Scopes Parse(IEnumerable<string> words)
    {
        Scopes scopes = Scopes.None;
        foreach (string word in words)
        {
            scopes |= OfKeys.TryGetValue(word, out Scopes scope)
                ? scope
                : throw new DroverException(FailureCode.InvalidArgument, "INVALID_SCOPE", $"scopes: '{word}' is none of {string.Join(", ", OfKeys.Keys)}.");
        }

        return scopes != Scopes.None ? scopes : throw new DroverException(FailureCode.InvalidArgument, "INVALID_SCOPE", $"scopes is empty; give some of {string.Join(", ", OfKeys.Keys)}.");
    }

    /// <summary>The words of these scopes.</summary>
    public static IReadOnlyList<string> Words(Scopes scopes) => [.. OfKeys.Where(s => scopes.HasFlag(s.Value)).Select(s => s.Key)];
}
