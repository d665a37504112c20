using System.Net;
using System.Net.Http.Headers;
using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Imports;

/// <summary>
/// A repository at an address that answers as the Hub does. Its token goes to that address and to none that it sends us on to; a file is a
/// stream that goes on where a connection broke.
/// </summary>
internal sealed class HubSource(string address, string repository, string token) : IImportSource
{
    private const int Attempts = 8;
    private const int MostRedirects = 5;
    private const int MostListingBytes = 64 << 20;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(60);
    private readonly Uri _home = new(address + "/");
    private readonly HttpClient _http = new(new SocketsHttpHandler { AllowAutoRedirect = false, ConnectTimeout = TimeSpan.FromSeconds(20) }) { Timeout = Timeout.InfiniteTimeSpan };

    /// <inheritdoc />
    public Task<SourceListing> DescribeAsync(string revision, CancellationToken cancellation) => PersistAsync(
        async () =>
        {
            using HttpResponseMessage response = await AskAsync($"api/models/{repository}/revision/{Uri.EscapeDataString(revision)}?blobs=true", 0, null, cancellation).ConfigureAwait(false);
            if (response.Content.Headers.ContentLength is > MostListingBytes)
                throw new DroverException(FailureCode.ResourceExhausted, "LISTING_TOO_LARGE", $"The list of '{repository}' has {response.Content.Headers.ContentLength} bytes.");
            Stream body = new HubBody(response, await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false), LongestSilence);
            await using (body.ConfigureAwait(false))
            using (var text = new MemoryStream())
            {
                byte[] buffer = new byte[1 << 16];
                for (int count; (count = await body.ReadAsync(buffer, cancellation).ConfigureAwait(false)) > 0 && text.Length <= MostListingBytes;)
                    text.Write(buffer, 0, count);
                return SourceListing.Parse(System.Text.Encoding.UTF8.GetString(text.GetBuffer(), 0, (int)text.Length));
            }
        },
        cancellation);

    /// <inheritdoc />
    public async Task<Stream> OpenAsync(string commit, SourceFile file, Action<int> onBytes, CancellationToken cancellation)
    {
        string path = $"{repository}/resolve/{Uri.EscapeDataString(commit)}/{string.Join('/', file.Path.Split('/').Select(Uri.EscapeDataString))}";
        string? tag = null;
        async ValueTask<Stream> FromAsync(long offset, CancellationToken c)
        {
            HttpResponseMessage response = await PersistAsync(() => AskAsync(path, offset, tag, c), c).ConfigureAwait(false);
            if (offset > 0 && (response.StatusCode != HttpStatusCode.PartialContent || response.Content.Headers.ContentRange?.From != offset))
            {
                response.Dispose();
                throw new DroverException(FailureCode.Aborted, "FILE_CHANGED", $"'{file.Path}' of '{repository}' changed while it was fetched, or its server gives no ranges. Import again.");
            }

            tag ??= response.Headers.ETag is { IsWeak: false } strong ? strong.Tag : null;
            return new HubBody(response, await response.Content.ReadAsStreamAsync(c).ConfigureAwait(false), LongestSilence);
        }

        Stream first = await FromAsync(0, cancellation).ConfigureAwait(false);
        return new CheckedStream(new ResumingReadStream(first, (read, _, c) => FromAsync(read, c)), file, repository, onBytes);
    }

    /// <inheritdoc />
    public void Dispose() => _http.Dispose();

    private async Task<HttpResponseMessage> AskAsync(string path, long offset, string? tag, CancellationToken cancellation)
    {
        var target = new Uri(_home, path);
        for (int redirects = 0; ; redirects++)
        {
            HttpResponseMessage response = await SendAsync(target, offset, tag, cancellation).ConfigureAwait(false);
            if (response.IsSuccessStatusCode)
                return response;
            using (response)
            {
                if (response.StatusCode is not (HttpStatusCode.Moved or HttpStatusCode.Found or HttpStatusCode.SeeOther or HttpStatusCode.TemporaryRedirect or HttpStatusCode.PermanentRedirect) || response.Headers.Location is not { } next || redirects == MostRedirects)
                    throw Failure(response);
                next = new Uri(target, next);
                if (next.Scheme != Uri.UriSchemeHttps && next.Scheme != target.Scheme)
                    throw new DroverException(FailureCode.FailedPrecondition, "REDIRECT_REFUSED", $"{target.Host} sends us from https on to '{next.Scheme}:', which anybody could answer.");
                target = next;
            }
        }
    }

    private async Task<HttpResponseMessage> SendAsync(Uri target, long offset, string? tag, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, target);
        if (token.Length > 0 && target.GetLeftPart(UriPartial.Authority) == _home.GetLeftPart(UriPartial.Authority))
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        if (offset > 0)
        {
            request.Headers.Range = new RangeHeaderValue(offset, null);
            if (tag is not null)
                request.Headers.IfRange = new RangeConditionHeaderValue(new EntityTagHeaderValue(tag));
        }

        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        silence.CancelAfter(LongestSilence);
        try
        {
            return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, silence.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            throw new DroverException(FailureCode.Unavailable, "SOURCE_UNAVAILABLE", $"{target.Host} does not answer: {e.Message} What was fetched stays; import again to go on.", e);
        }
    }

    private DroverException Failure(HttpResponseMessage response)
    {
        string said = response.Headers.TryGetValues("X-Error-Message", out IEnumerable<string>? texts) ? $" It says: {string.Join(" ", texts)}" : "";
        string what = $"{_home.Host} answered {(int)response.StatusCode} for '{repository}'.{said}";
        return response.StatusCode switch
        {
            HttpStatusCode.Unauthorized => new DroverException(FailureCode.Unauthenticated, "TOKEN_REFUSED", $"{what} It wants another token (Checkpoint:ImportTokenFile), or has no such repository."),
            HttpStatusCode.Forbidden => new DroverException(FailureCode.PermissionDenied, "TOKEN_REFUSED", $"{what} The owner of the token (Checkpoint:ImportTokenFile) may not read it; on the Hub, ask for access on the model's page."),
            HttpStatusCode.NotFound => new DroverException(FailureCode.NotFound, "REPOSITORY_NOT_FOUND", $"{what} Look at repository and revision."),
            HttpStatusCode.TooManyRequests or HttpStatusCode.RequestTimeout or >= HttpStatusCode.InternalServerError => new DroverException(FailureCode.Unavailable, "SOURCE_UNAVAILABLE", $"{what} What was fetched stays; import again to go on."),
            _ => new DroverException(FailureCode.FailedPrecondition, "SOURCE_REFUSED", what),
        };
    }

    private static async Task<T> PersistAsync<T>(Func<Task<T>> action, CancellationToken cancellation)
    {
        TimeSpan pause = FirstPause;
        for (int attempt = 1; ; attempt++, pause *= 2)
        {
            try
            {
                return await action().ConfigureAwait(false);
            }
            catch (DroverException e) when (e.Code == FailureCode.Unavailable && attempt < Attempts)
            {
                await Task.Delay(pause, cancellation).ConfigureAwait(false);
            }
        }
    }
}
