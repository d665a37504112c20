using System.Globalization;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;

namespace Drover.Checkpoint.Hub;

/// <summary>Answers HEAD and GET of a file: whole, one range of it (206, 416), or nothing new (304).</summary>
internal static class HubDownload
{
    /// <summary>Files that the Hub would keep as LFS objects: clients take their SHA-256 from the listing.</summary>
    public static bool IsLarge(HubFile file) => file.Path.EndsWith(".safetensors", StringComparison.Ordinal) || file.Path.EndsWith("tokenizer.model", StringComparison.Ordinal) || file.Size > 10_000_000;

    /// <summary>Sends a client to where the object store gives the file itself, as the Hub does with what is large.</summary>
    public static void Redirect(HttpContext context, HubFile file, Uri address)
    {
        WriteTags(context.Response, file);
        context.Response.StatusCode = StatusCodes.Status302Found;
        context.Response.Headers.Location = address.AbsoluteUri;
    }

    public static async Task SendAsync(HttpContext context, HubFile file)
    {
        HttpResponse response = context.Response;
        string tag = WriteTags(response, file);
        response.Headers.AcceptRanges = "bytes";
        response.ContentType = file.Path.EndsWith(".json", StringComparison.Ordinal) ? "application/json" : file.Path.EndsWith(".md", StringComparison.Ordinal) ? "text/markdown; charset=utf-8" : "application/octet-stream";
        response.Headers.ContentDisposition = new ContentDispositionHeaderValue("inline") { FileName = Path.GetFileName(file.Path) }.ToString();
        if (context.Request.GetTypedHeaders().IfNoneMatch.Any(t => t.Tag == "*" || t.Tag == tag))
        {
            response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        (long offset, long length) = (0, file.Size);
        if (RangeOf(context.Request, tag) is { } range)
        {
            if (Within(range, file.Size) is not { } part)
            {
                response.StatusCode = StatusCodes.Status416RangeNotSatisfiable;
                response.Headers.ContentRange = new ContentRangeHeaderValue(file.Size).ToString();
                return;
            }

            (offset, length) = part;
            response.StatusCode = StatusCodes.Status206PartialContent;
            response.Headers.ContentRange = new ContentRangeHeaderValue(offset, offset + length - 1, file.Size).ToString();
        }

        response.ContentLength = length;
        if (HttpMethods.IsHead(context.Request.Method))
            return;
        context.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        await file.Write(response.Body, offset, length, context.RequestAborted).ConfigureAwait(false);
    }

    private static string WriteTags(HttpResponse response, HubFile file)
    {
        string tag = $"\"{file.Tag}\"";
        response.Headers.ETag = tag;
        if (IsLarge(file))
        {
            response.Headers["X-Linked-Etag"] = tag;
            response.Headers["X-Linked-Size"] = file.Size.ToString(CultureInfo.InvariantCulture);
        }

        return tag;
    }

    // Several ranges at once are answered with the whole, which the standard allows; so is a range of a file that has changed since.
    private static RangeItemHeaderValue? RangeOf(HttpRequest request, string tag)
    {
        if (request.GetTypedHeaders() is not { Range: { Ranges.Count: 1 } range } headers || !range.Unit.Equals("bytes", StringComparison.OrdinalIgnoreCase))
            return null;
        return headers.IfRange is { EntityTag: { } condition } && condition.Tag != tag ? null : range.Ranges.First();
    }

    private static (long Offset, long Length)? Within(RangeItemHeaderValue range, long size)
    {
        if (range.From is not { } from)
            return range.To is > 0 and { } last && size > 0 ? (Math.Max(0, size - last), Math.Min(size, last)) : null;
        return from < size ? (from, Math.Min(range.To ?? long.MaxValue, size - 1) - from + 1) : null;
    }
}
