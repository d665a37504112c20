using Microsoft.AspNetCore.Http;

namespace Drover.Hosting.Security;

/// <summary>Who a call is from.</summary>
/// <param name="Id">Of the key; "service" for a service, "anyone" where nobody is asked for a key.</param>
/// <param name="Name">For people.</param>
/// <param name="Scopes">What it may do.</param>
public sealed record Caller(string Id, string Name, Scopes Scopes)
{
    /// <summary>Where nobody is asked for a key.</summary>
    public static Caller Anyone { get; } = new("anyone", "anyone", Scopes.Admin | Scopes.Service);

    /// <summary>One of Drover's services.</summary>
    public static Caller Service(string name) => new("service", name, Scopes.Service);

    /// <summary>The caller of a request that was let in.</summary>
    public static Caller Of(HttpContext context) => context.Items[typeof(Caller)] as Caller ?? Anyone;

    internal void Enter(HttpContext context) => context.Items[typeof(Caller)] = this;
}
