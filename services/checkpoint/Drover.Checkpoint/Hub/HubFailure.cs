using System.Text;
using System.Text.Json.Nodes;
using Drover.Errors;

namespace Drover.Checkpoint.Hub;

/// <summary>A failure as the Hub tells it: a status, X-Error-Code and X-Error-Message, which huggingface_hub turns into its own exceptions.</summary>
internal static class HubFailure
{
    public static async Task WriteAsync(HttpContext context, DroverException failure)
    {
        (int status, string code) = (failure.Code, failure.Reason) switch
        {
            (_, "REPO_NOT_FOUND") => (404, "RepoNotFound"),
            (_, "REVISION_NOT_FOUND") => (404, "RevisionNotFound"),
            (_, "ENTRY_NOT_FOUND") => (404, "EntryNotFound"),
            (FailureCode.NotFound, _) => (404, "EntryNotFound"),
            (FailureCode.InvalidArgument, _) => (400, ""),
            (FailureCode.FailedPrecondition, _) => (409, ""),
            (FailureCode.Unavailable, _) => (503, ""),
            _ => (500, ""),
        };
        context.Response.StatusCode = status;
        if (code.Length > 0)
            context.Response.Headers["X-Error-Code"] = code;
        context.Response.Headers["X-Error-Message"] = HeaderText(failure.Message);
        if (HttpMethods.IsHead(context.Request.Method))
            return;
        context.Response.ContentType = "application/json; charset=utf-8";
        await context.Response.WriteAsync(new JsonObject { ["error"] = failure.Message }.ToJsonString()).ConfigureAwait(false);
    }

    // Headers are ASCII, and what a client asked for may come back in a message.
    private static string HeaderText(string message)
    {
        var text = new StringBuilder();
        foreach (char c in message)
            text.Append(c is >= ' ' and <= '~' ? c : '?');
        return text.ToString();
    }
}
