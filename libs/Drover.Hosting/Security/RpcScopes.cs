namespace Drover.Hosting.Security;

/// <summary>
/// Which scope an RPC asks for: the verb that its name begins with says it, and a few are named. What is not foreseen here asks for
/// <see cref="Scopes.Admin"/>, so that a new RPC is closed until somebody decides. A test lists every RPC with its scope.
/// </summary>
public static class RpcScopes
{
    private static readonly Dictionary<string, Scopes> Named = new(StringComparer.Ordinal)
    {
        ["ListModels"] = Scopes.Read | Scopes.Pull,
        ["GetModel"] = Scopes.Read | Scopes.Pull,
        ["PullModel"] = Scopes.Pull,
        ["PresignModel"] = Scopes.Pull,
        ["GenerateText"] = Scopes.Submit,
        ["StreamText"] = Scopes.Submit,
        ["ProfileTrainingJob"] = Scopes.Submit,
        ["SaveTrainingJob"] = Scopes.Submit,
        ["RetryPipeline"] = Scopes.Submit,
        // Only between services.
        ["LeaseTask"] = Scopes.Service,
        ["RenewLease"] = Scopes.Service,
        ["CompleteTask"] = Scopes.Service,
        ["FailTask"] = Scopes.Service,
        ["PublishCheckpoint"] = Scopes.Service,
        ["CreateKey"] = Scopes.Admin,
        ["ListKeys"] = Scopes.Admin,
        ["RevokeKey"] = Scopes.Admin,
        ["ServerReflectionInfo"] = Scopes.Read | Scopes.Pull | Scopes.Submit,
    };

    private static readonly (string Verb, Scopes Scope)[] Verbs =
    [
        ("Get", Scopes.Read), ("List", Scopes.Read), ("Watch", Scopes.Read), ("Find", Scopes.Read), ("Read", Scopes.Read), ("Inspect", Scopes.Read),
        ("Plan", Scopes.Read), ("Count", Scopes.Read), ("Encode", Scopes.Read), ("Decode", Scopes.Read), ("Apply", Scopes.Read), ("Verify", Scopes.Read),
        ("Compare", Scopes.Read), ("Diff", Scopes.Read), ("Create", Scopes.Submit), ("Cancel", Scopes.Submit), ("Upload", Scopes.Submit), ("Pause", Scopes.Submit), ("Resume", Scopes.Submit),
        ("Set", Scopes.Submit), ("Tag", Scopes.Submit), ("Untag", Scopes.Submit), ("Delete", Scopes.Submit), ("Collect", Scopes.Submit),
    ];

    /// <summary>The scopes of which a caller needs one, for an RPC such as "/drover.gateway.v1.GatewayService/GetPipeline".</summary>
    public static Scopes Of(string rpc)
    {
        string name = rpc[(rpc.LastIndexOf('/') + 1)..];
        if (Named.TryGetValue(name, out Scopes named))
            return named;
        foreach ((string verb, Scopes scope) in Verbs)
        {
            if (name.StartsWith(verb, StringComparison.Ordinal) && name.Length > verb.Length && char.IsUpper(name[verb.Length]))
                return scope;
            if (name == verb)
                return scope;
        }

        return Scopes.Admin;
    }

    /// <summary>Whether a caller with <paramref name="held"/> may do what asks for one of <paramref name="asked"/>.</summary>
    public static bool Allow(Scopes held, Scopes asked)
    {
        if (held.HasFlag(Scopes.Service))
            return true;
        return held.HasFlag(Scopes.Admin) ? asked != Scopes.Service : (held & asked) != Scopes.None;
    }
}
