using Drover.Errors;
using Grpc.AspNetCore.Server;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Drover.Hosting.Security;

/// <summary>
/// Stands before everything that a service answers, gRPC and JSON alike: 1. health and what is marked as open go through; 2. who is it;
/// 3. may they; 4. not too often; 5. after the call, the audit log. Nothing of a request's body is read before that.
/// </summary>
internal sealed class AccessMiddleware(RequestDelegate next, Authenticator authenticator, CallLimits limits, AuditLog audit)
{
    private const string Health = "/grpc.health.v1.Health/";
    private const Scopes Audited = Scopes.Submit | Scopes.Admin;

    public async Task InvokeAsync(HttpContext context)
    {
        EndpointMetadataCollection? metadata = context.GetEndpoint()?.Metadata;
        if (metadata?.GetMetadata<OpenToAll>() is not null || context.Request.Path.StartsWithSegments(Health.TrimEnd('/'), StringComparison.Ordinal))
        {
            await next(context).ConfigureAwait(false);
            return;
        }

        string rpc = metadata?.GetMetadata<GrpcMethodMetadata>()?.Method.FullName ?? context.Request.Path.ToString();
        Scopes asked = metadata?.GetMetadata<RequiredScopes>()?.Scopes ?? RpcScopes.Of(rpc);
        Caller? caller = null;
        try
        {
            caller = await authenticator.AuthenticateAsync(context).ConfigureAwait(false);
            if (!RpcScopes.Allow(caller.Scopes, asked))
                throw Forbid(caller, rpc, asked);
            limits.TakeCall(caller);
            CallOrigin.Settle(context, caller);
        }
        catch (DroverException e)
        {
            audit.Refused(context, rpc, caller, e.Reason);
            await Refusal.WriteAsync(context, e).ConfigureAwait(false);
            return;
        }

        caller.Enter(context);
        try
        {
            await next(context).ConfigureAwait(false);
        }
        finally
        {
            // What services say to each other is not what somebody did.
            if (((asked & Audited) != Scopes.None || asked == Scopes.Pull) && !caller.Scopes.HasFlag(Scopes.Service))
                audit.Ended(context, rpc, caller);
        }
    }

    private static DroverException Forbid(Caller caller, string rpc, Scopes asked) => new(
        FailureCode.PermissionDenied,
        "SCOPE_MISSING",
        asked == Scopes.Service
            ? $"{rpc} is called by Drover's services only."
            : $"The key '{caller.Name}' has the scopes {string.Join(", ", ScopeNames.Words(caller.Scopes))}; {rpc} asks for {string.Join(" or ", ScopeNames.Words(asked))}.");
}

/// <summary>Marks an endpoint that needs no key.</summary>
public sealed record OpenToAll;

/// <summary>Marks the scopes, one of which an endpoint that is no RPC asks for; without it, admin.</summary>
/// <param name="Scopes">The scopes.</param>
public sealed record RequiredScopes(Scopes Scopes);

/// <summary>Marks endpoints.</summary>
public static class AccessConventions
{
    /// <summary>Needs no key.</summary>
    public static TBuilder IsOpenToAll<TBuilder>(this TBuilder endpoint)
        where TBuilder : IEndpointConventionBuilder => endpoint.WithMetadata(new OpenToAll());

    /// <summary>Needs a key with one of these scopes.</summary>
    public static TBuilder RequireScopes<TBuilder>(this TBuilder endpoint, Scopes scopes)
        where TBuilder : IEndpointConventionBuilder => endpoint.WithMetadata(new RequiredScopes(scopes));
}
