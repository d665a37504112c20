using System.Net;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using Drover.Errors;
using Minio;
using Minio.DataModel;
using Minio.DataModel.Args;
using Minio.Exceptions;

namespace Drover.ObjectStore;

/// <summary>
/// An S3 bucket as an object store. The MinIO client signs, lists, deletes and uploads in parts; reads and small puts go
/// through its presigned addresses with our own HTTP client, because the client asks twice before every read, hands bytes to
/// a callback instead of giving a stream, and renames If-None-Match. The bucket is made at the first put.
/// </summary>
/// <remarks>
/// Parts are 5 MiB, so an object of unknown length has 48.8 GiB at most. A conditional put is always one request (5 GiB at
/// most): Ceph RGW does not look at If-None-Match when an upload in parts is completed, and gives an empty ETag then.
/// </remarks>
public sealed class S3ObjectStore : IObjectStore, IDisposable
{
    private const int SinglePutBytes = 8 << 20;
    private const int PresignedSeconds = 3600;
    private readonly ObjectStoreOptions _options;
    private readonly HttpClient _http;
    private readonly IMinioClient _client;
    private volatile bool _bucketThere;

    /// <summary>Uses the bucket of the options; does not connect yet.</summary>
    public S3ObjectStore(ObjectStoreOptions options)
    {
        _options = options;
        var endpoint = new Uri(options.S3Endpoint);
        _http = S3Connection.Open(options);
        S3Credentials credentials = S3Credentials.Find(options, Environment.GetEnvironmentVariable);
        IMinioClient client = new MinioClient()
            .WithEndpoint(endpoint.Authority)
            .WithSSL(endpoint.Scheme == Uri.UriSchemeHttps)
            .WithRegion(options.S3Region)
            .WithCredentials(credentials.AccessKey, credentials.SecretKey)
            .WithHttpClient(_http);
        _client = (credentials.SessionToken.Length > 0 ? client.WithSessionToken(credentials.SessionToken) : client).Build();
    }

    /// <inheritdoc />
    public async ValueTask<ObjectInfo?> FindAsync(string key, CancellationToken cancellation)
    {
        ObjectKey.Check(key);
        try
        {
            ObjectStat stat = await _client.StatObjectAsync(new StatObjectArgs().WithBucket(_options.S3Bucket).WithObject(key), cancellation).ConfigureAwait(false);
            return new ObjectInfo(key, stat.Size, stat.ETag.Trim('"'));
        }
        catch (Exception e) when (e is ObjectNotFoundException or BucketNotFoundException)
        {
            return null;
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested)
        {
            throw Translate(e, key);
        }
    }

    /// <inheritdoc />
    public async ValueTask<Stream> OpenReadAsync(string key, long offset, long? length, CancellationToken cancellation)
    {
        ObjectKey.Check(key);
        if (offset < 0 || length < 0 || length > long.MaxValue - offset)
            throw PastEnd(key, offset, length, null);
        if (length == 0)
        {
            ObjectInfo info = await this.GetInfoAsync(key, cancellation).ConfigureAwait(false);
            return offset <= info.Size ? Stream.Null : throw PastEnd(key, offset, length, info.Size);
        }

        string address = await _client.PresignedGetObjectAsync(new PresignedGetObjectArgs().WithBucket(_options.S3Bucket).WithObject(key).WithExpiry(PresignedSeconds)).ConfigureAwait(false);
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        if (offset > 0 || length is not null)
            request.Headers.Range = new RangeHeaderValue(offset, offset + length - 1);
        HttpResponseMessage response = await SendAsync(request, key, cancellation).ConfigureAwait(false);
        try
        {
            long? size = response.Content.Headers.ContentRange?.Length;
            if (response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable)
            {
                size ??= (await this.GetInfoAsync(key, cancellation).ConfigureAwait(false)).Size;
                response.Dispose();
                return offset == size && length is null ? Stream.Null : throw PastEnd(key, offset, length, size);
            }

            if (!response.IsSuccessStatusCode)
                throw S3Failure.FromStatus(response.StatusCode, key, _options);
            if (length is { } wanted && size is { } all && wanted > all - offset)
                throw PastEnd(key, offset, length, all);
            string tag = response.Headers.ETag?.Tag.Trim('"') ?? "";
            return new S3ReadStream(response, tag, await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false), key);
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    /// <inheritdoc />
    public async ValueTask<Uri?> PresignAsync(string key, TimeSpan validity, CancellationToken cancellation)
    {
        ObjectKey.Check(key);
        return new Uri(await _client.PresignedGetObjectAsync(new PresignedGetObjectArgs().WithBucket(_options.S3Bucket).WithObject(key).WithExpiry((int)validity.TotalSeconds)).ConfigureAwait(false));
    }

    /// <inheritdoc />
    public async ValueTask<ObjectInfo> PutAsync(string key, Stream content, PutCondition condition, CancellationToken cancellation)
    {
        ObjectKey.Check(key);
        await EnsureBucketAsync(cancellation).ConfigureAwait(false);
        if (condition == PutCondition.IfAbsent && content.CanSeek)
        {
            // One request in any case, and its length is known.
            await PutWholeAsync(key, content, condition, cancellation).ConfigureAwait(false);
            return await this.GetInfoAsync(key, cancellation).ConfigureAwait(false);
        }

        byte[] head = new byte[SinglePutBytes];
        int read = await content.ReadAtLeastAsync(head, head.Length, throwOnEndOfStream: false, cancellation).ConfigureAwait(false);
        var start = new MemoryStream(head, 0, read, writable: false);
        var parts = new PartDigests();
        if (read < head.Length)
        {
            await PutWholeAsync(key, start, condition, cancellation).ConfigureAwait(false);
        }
        else if (condition == PutCondition.IfAbsent)
        {
            await PutSpooledAsync(key, new ConcatenatedStream(start, content), cancellation).ConfigureAwait(false);
        }
        else
        {
            await PutInPartsAsync(key, new ConcatenatedStream(start, content, parts), cancellation).ConfigureAwait(false);
        }

        // Completing an upload in parts gives no usable ETag on every server; asking does.
        ObjectInfo stored = await this.GetInfoAsync(key, cancellation).ConfigureAwait(false);
        return parts.Agree(stored) ? stored : throw new DroverException(FailureCode.DataLoss, "UPLOAD_DAMAGED", $"Object '{key}' arrived damaged: the store's checksum is '{stored.Tag}', and that of what was sent '{parts.Tag}'. Store it again.");
    }

    /// <inheritdoc />
    public async IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken cancellation)
    {
        ObjectKey.CheckPrefix(prefix);
        IAsyncEnumerator<Item> items = _client
            .ListObjectsEnumAsync(new ListObjectsArgs().WithBucket(_options.S3Bucket).WithPrefix(prefix).WithRecursive(true), cancellation)
            .GetAsyncEnumerator(cancellation);
        await using (items.ConfigureAwait(false))
        {
            while (await NextAsync(items, prefix, cancellation).ConfigureAwait(false))
                yield return new ObjectInfo(items.Current.Key, (long)items.Current.Size, items.Current.ETag.Trim('"'));
        }
    }

    /// <inheritdoc />
    public async ValueTask DeleteAsync(string key, CancellationToken cancellation)
    {
        ObjectKey.Check(key);
        try
        {
            await _client.RemoveObjectAsync(new RemoveObjectArgs().WithBucket(_options.S3Bucket).WithObject(key), cancellation).ConfigureAwait(false);
        }
        catch (Exception e) when (e is ObjectNotFoundException or BucketNotFoundException)
        {
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested)
        {
            throw Translate(e, key);
        }
    }

    /// <inheritdoc />
    public async ValueTask<IReadOnlyList<ObjectInfo>> RemoveLeftoversAsync(TimeSpan age, bool dryRun, CancellationToken cancellation)
    {
        DateTime old = DateTime.UtcNow - age;
        List<ObjectInfo> removed = [];
        try
        {
            var listing = new ListIncompleteUploadsArgs().WithBucket(_options.S3Bucket).WithRecursive(true);
            await foreach (Minio.DataModel.Upload upload in _client.ListIncompleteUploadsEnumAsync(listing, cancellation).ConfigureAwait(false))
            {
                if (DateTime.Parse(upload.Initiated, System.Globalization.CultureInfo.InvariantCulture, System.Globalization.DateTimeStyles.AdjustToUniversal) <= old)
                    removed.Add(new ObjectInfo(upload.Key, 0, upload.UploadId));
            }

            foreach (string key in dryRun ? [] : removed.Select(u => u.Key).Distinct())
                await _client.RemoveIncompleteUploadAsync(new RemoveIncompleteUploadArgs().WithBucket(_options.S3Bucket).WithObject(key), cancellation).ConfigureAwait(false);
        }
        catch (BucketNotFoundException)
        {
            return [];
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested)
        {
            throw Translate(e, "");
        }

        return removed;
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _client.Dispose();
        _http.Dispose();
    }

    private async ValueTask EnsureBucketAsync(CancellationToken cancellation)
    {
        if (_bucketThere)
            return;
        try
        {
            if (!await _client.BucketExistsAsync(new BucketExistsArgs().WithBucket(_options.S3Bucket), cancellation).ConfigureAwait(false))
                await _client.MakeBucketAsync(new MakeBucketArgs().WithBucket(_options.S3Bucket), cancellation).ConfigureAwait(false);
            _bucketThere = true;
        }
        catch (ErrorResponseException e) when (e.Response?.Code is "BucketAlreadyOwnedByYou" or "BucketAlreadyExists")
        {
            // Another process made it in the meantime.
            _bucketThere = true;
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested)
        {
            throw Translate(e, _options.S3Bucket);
        }
    }

    private async Task PutWholeAsync(string key, Stream content, PutCondition condition, CancellationToken cancellation)
    {
        string address = await _client.PresignedPutObjectAsync(new PresignedPutObjectArgs().WithBucket(_options.S3Bucket).WithObject(key).WithExpiry(PresignedSeconds)).ConfigureAwait(false);
        using var request = new HttpRequestMessage(HttpMethod.Put, address) { Content = new StreamContent(new BorrowedReadStream(content)) };
        request.Content.Headers.ContentLength = content.Length - content.Position;
        // The server refuses what arrives otherwise.
        long at = content.Position;
        request.Content.Headers.ContentMD5 = await S3Checksum.OfAsync(content, cancellation).ConfigureAwait(false);
        content.Position = at;
        if (condition == PutCondition.IfAbsent)
            request.Headers.TryAddWithoutValidation("If-None-Match", "*");
        using HttpResponseMessage response = await SendAsync(request, key, cancellation).ConfigureAwait(false);
        if (!response.IsSuccessStatusCode)
            throw S3Failure.FromStatus(response.StatusCode, key, _options);
    }

    private async Task PutSpooledAsync(string key, Stream content, CancellationToken cancellation)
    {
        FileStream spool = SpoolFile.Open();
        await using (spool.ConfigureAwait(false))
        {
            await content.CopyToAsync(spool, cancellation).ConfigureAwait(false);
            spool.Position = 0;
            await PutWholeAsync(key, spool, PutCondition.IfAbsent, cancellation).ConfigureAwait(false);
        }
    }

    private async Task PutInPartsAsync(string key, ConcatenatedStream content, CancellationToken cancellation)
    {
        bool complete = false;
        try
        {
            await _client.PutObjectAsync(new PutObjectArgs().WithBucket(_options.S3Bucket).WithObject(key).WithStreamData(content).WithObjectSize(-1), cancellation).ConfigureAwait(false);
            // The client stops without a word after its 10,000th part.
            complete = await content.ReadAsync(new byte[1], cancellation).ConfigureAwait(false) == 0;
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested)
        {
            throw content.Failure ?? Translate(e, key);
        }
        finally
        {
            if (!complete)
                await ForgetPartsAsync(key).ConfigureAwait(false);
        }

        if (!complete)
        {
            await DeleteAsync(key, cancellation).ConfigureAwait(false);
            throw new DroverException(FailureCode.ResourceExhausted, "OBJECT_TOO_LARGE", $"Object '{key}' is larger than 48.8 GiB, the most that is uploaded in parts. Write smaller shards.");
        }
    }

    // Parts of a broken upload would be kept, and paid for, for ever.
    private async Task ForgetPartsAsync(string key)
    {
        try
        {
            await _client.RemoveIncompleteUploadAsync(new RemoveIncompleteUploadArgs().WithBucket(_options.S3Bucket).WithObject(key), CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception e) when (e is MinioException or HttpRequestException or InvalidOperationException or OperationCanceledException)
        {
            // The failure that led here is the one to tell.
        }
    }

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, string key, CancellationToken cancellation)
    {
        try
        {
            return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation).ConfigureAwait(false);
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested)
        {
            throw Translate(e, key);
        }
    }

    private async ValueTask<bool> NextAsync(IAsyncEnumerator<Item> items, string prefix, CancellationToken cancellation)
    {
        try
        {
            return await items.MoveNextAsync().ConfigureAwait(false);
        }
        catch (BucketNotFoundException)
        {
            return false;
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested)
        {
            throw Translate(e, prefix);
        }
    }

    private Exception Translate(Exception e, string key) => S3Failure.From(e, key, _options);

    private static DroverException PastEnd(string key, long offset, long? length, long? size) =>
        new(FailureCode.OutOfRange, "RANGE_PAST_END", $"Object '{key}' has {size} bytes; bytes {offset} to {offset + length} were asked for.");
}
