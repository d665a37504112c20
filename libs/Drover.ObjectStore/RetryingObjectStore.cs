using System.Runtime.CompilerServices;
using Drover.Errors;

namespace Drover.ObjectStore;

/// <summary>
/// Asks again when a store does not answer: an outage that is shorter than the patience costs time and nothing else. A put is done again
/// from its beginning, so what cannot be read twice is kept in memory or, when large, in a temporary file. A read goes on where it broke
/// off, if the object is still the same.
/// </summary>
/// <param name="inner">The store.</param>
/// <param name="patience">How long it may be silent.</param>
/// <param name="time">For waiting.</param>
public sealed class RetryingObjectStore(IObjectStore inner, TimeSpan patience, TimeProvider time) : IObjectStore, IDisposable
{
    private const int InMemoryBytes = 8 << 20;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    /// <inheritdoc />
    public ValueTask<IReadOnlyList<ObjectInfo>> RemoveLeftoversAsync(TimeSpan age, bool dryRun, CancellationToken cancellation) =>
        PersistAsync(_ => inner.RemoveLeftoversAsync(age, dryRun, cancellation), cancellation);

    /// <inheritdoc />
    public ValueTask<Uri?> PresignAsync(string key, TimeSpan validity, CancellationToken cancellation) => inner.PresignAsync(key, validity, cancellation);

    /// <inheritdoc />
    public ValueTask<ObjectInfo?> FindAsync(string key, CancellationToken cancellation) =>
        PersistAsync(_ => inner.FindAsync(key, cancellation), cancellation);

    /// <inheritdoc />
    public async ValueTask<Stream> OpenReadAsync(string key, long offset, long? length, CancellationToken cancellation)
    {
        Stream stream = await PersistAsync(_ => inner.OpenReadAsync(key, offset, length, cancellation), cancellation).ConfigureAwait(false);
        return new ResumingReadStream(stream, (read, broken, token) => ResumeAsync(key, offset + read, length - read, broken, token));
    }

    /// <inheritdoc />
    public async ValueTask<ObjectInfo> PutAsync(string key, Stream content, PutCondition condition, CancellationToken cancellation)
    {
        Stream again = await RepeatableAsync(content, cancellation).ConfigureAwait(false);
        try
        {
            long start = again.Position;
            return await PersistAsync(attempt => PutAsync(key, again, start, () => inner.PutAsync(key, again, condition, cancellation), attempt, cancellation), cancellation).ConfigureAwait(false);
        }
        finally
        {
            if (again != content)
                await again.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <inheritdoc />
    public ValueTask<ObjectInfo> PutFileAsync(string key, FileStream file, PutCondition condition, CancellationToken cancellation) =>
        PersistAsync(attempt => PutAsync(key, file, 0, () => inner.PutFileAsync(key, file, condition, cancellation), attempt, cancellation), cancellation);

    /// <inheritdoc />
    public async IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken cancellation)
    {
        // A list that broke off is begun again, and what was given before passed over: keys come in order.
        string last = "";
        IAsyncEnumerator<ObjectInfo>? items = null;
        try
        {
            while (true)
            {
                bool any = await PersistAsync(
                    async _ =>
                    {
                        try
                        {
                            items ??= inner.ListAsync(prefix, cancellation).GetAsyncEnumerator(cancellation);
                            while (await items.MoveNextAsync().ConfigureAwait(false))
                            {
                                if (string.CompareOrdinal(items.Current.Key, last) > 0)
                                    return true;
                            }

                            return false;
                        }
                        catch (DroverException)
                        {
                            await items!.DisposeAsync().ConfigureAwait(false);
                            items = null;
                            throw;
                        }
                    },
                    cancellation).ConfigureAwait(false);
                if (!any)
                    yield break;
                last = items!.Current.Key;
                yield return items.Current;
            }
        }
        finally
        {
            if (items is not null)
                await items.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <inheritdoc />
    public async ValueTask DeleteAsync(string key, CancellationToken cancellation) =>
        await PersistAsync(
            async _ =>
            {
                await inner.DeleteAsync(key, cancellation).ConfigureAwait(false);
                return true;
            },
            cancellation).ConfigureAwait(false);

    /// <inheritdoc />
    public void Dispose() => (inner as IDisposable)?.Dispose();

    private async ValueTask<T> PersistAsync<T>(Func<int, ValueTask<T>> action, CancellationToken cancellation)
    {
        long started = time.GetTimestamp();
        TimeSpan pause = FirstPause;
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                return await action(attempt).ConfigureAwait(false);
            }
            catch (DroverException e) when (e.Code == FailureCode.Unavailable && time.GetElapsedTime(started) + pause <= patience)
            {
                // Many that wait for one store should not come back all at once.
                await Task.Delay(pause * (0.75 + (Random.Shared.NextDouble() / 2)), time, cancellation).ConfigureAwait(false);
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
        }
    }

    private async ValueTask<ObjectInfo> PutAsync(string key, Stream content, long start, Func<ValueTask<ObjectInfo>> put, int attempt, CancellationToken cancellation)
    {
        content.Position = start;
        try
        {
            return await put().ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code == FailureCode.AlreadyExists && attempt > 0)
        {
            // An attempt before whose answer was lost may have stored it.
            content.Position = start;
            if (await StreamDigest.Sha256Async(content, cancellation).ConfigureAwait(false) != await inner.Sha256Async(key, cancellation).ConfigureAwait(false))
                throw;
            return await inner.GetInfoAsync(key, cancellation).ConfigureAwait(false);
        }
    }

    private async ValueTask<Stream> ResumeAsync(string key, long offset, long? length, Stream broken, CancellationToken cancellation)
    {
        Stream stream = await PersistAsync(_ => inner.OpenReadAsync(key, offset, length, cancellation), cancellation).ConfigureAwait(false);
        if (broken is ITaggedStream { Tag: var before } && stream is ITaggedStream { Tag: var now } && before != now)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            throw new DroverException(FailureCode.Aborted, "OBJECT_CHANGED", $"Object '{key}' was replaced while it was being read. Read it again.");
        }

        return stream;
    }

    private static async ValueTask<Stream> RepeatableAsync(Stream content, CancellationToken cancellation)
    {
        if (content.CanSeek)
            return content;
        byte[] head = new byte[InMemoryBytes];
        int read = await content.ReadAtLeastAsync(head, head.Length, throwOnEndOfStream: false, cancellation).ConfigureAwait(false);
        if (read < head.Length)
            return new MemoryStream(head, 0, read, writable: false);
        FileStream spool = SpoolFile.Open();
        try
        {
            await spool.WriteAsync(head, cancellation).ConfigureAwait(false);
            await content.CopyToAsync(spool, cancellation).ConfigureAwait(false);
            spool.Position = 0;
            return spool;
        }
        catch
        {
            await spool.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }
}
