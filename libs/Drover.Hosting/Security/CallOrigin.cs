using System.Globalization;
using Drover.Errors;
using Drover.Protocol;
using Grpc.Core;
using Microsoft.AspNetCore.Http;

namespace Drover.Hosting.Security;

/// <summary>Whom a job is made for and how urgent it is: the headers of <see cref="CallHeaders"/>.</summary>
public static class CallOrigin
{
    /// <summary>Those headers of a request that was let in, for a call to another service on its behalf.</summary>
    public static Metadata HeadersOf(HttpContext context)
    {
        var headers = new Metadata();
        foreach (string name in new[] { CallHeaders.Owner, CallHeaders.Priority })
        {
            if (context.Request.Headers[name].ToString() is { Length: > 0 } value)
                headers.Add(name, value);
        }

        return headers;
    }

    /// <summary>Puts the caller's name where services read the owner; what services say of others is believed.</summary>
    /// <exception cref="DroverException">InvalidArgument; PermissionDenied for a priority above 0 without the scope admin.</exception>
    internal static void Settle(HttpContext context, Caller caller)
    {
        IHeaderDictionary headers = context.Request.Headers;
        if (!caller.Scopes.HasFlag(Scopes.Service) || headers[CallHeaders.Owner].Count == 0)
            headers[CallHeaders.Owner] = Uri.EscapeDataString(caller.Name);
        string text = headers[CallHeaders.Priority].ToString();
        if (text.Length == 0)
            return;
        if (!int.TryParse(text, CultureInfo.InvariantCulture, out int priority) || Math.Abs((long)priority) > CallHeaders.MaxPriority)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_PRIORITY", $"{CallHeaders.Priority} is '{text}'; give -{CallHeaders.MaxPriority} to {CallHeaders.MaxPriority}.");
        if (priority > 0 && !RpcScopes.Allow(caller.Scopes, Scopes.Admin))
            throw new DroverException(FailureCode.PermissionDenied, "PRIORITY_NEEDS_ADMIN", $"{CallHeaders.Priority} is {priority}; above 0 a key with the scope admin is asked for.");
    }
}
