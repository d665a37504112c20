namespace Drover.ObjectStore;

/// <summary>
/// Objects by key. A key is a relative path with forward slashes, of letters, digits, dot, dash and underscore;
/// <see cref="ObjectKey.Check"/> refuses everything else, so no key leaves the store. An object appears whole or not at all.
/// Failures are <see cref="Drover.Errors.DroverException"/>: NotFound, AlreadyExists, InvalidArgument, Unavailable,
/// ResourceExhausted (disk full), PermissionDenied.
/// </summary>
public interface IObjectStore
{
    /// <summary>Size and tag of an object, or null when there is none.</summary>
    ValueTask<ObjectInfo?> FindAsync(string key, CancellationToken cancellation);

    /// <summary>
    /// Opens the bytes from <paramref name="offset"/>: <paramref name="length"/> of them, or all to the end.
    /// NotFound when there is no such object; OutOfRange when the range goes past its end.
    /// </summary>
    ValueTask<Stream> OpenReadAsync(string key, long offset, long? length, CancellationToken cancellation);

    /// <summary>
    /// Stores the rest of <paramref name="content"/>. Until this returns, readers see the old object or none.
    /// With <see cref="PutCondition.IfAbsent"/>: AlreadyExists when there is one.
    /// </summary>
    ValueTask<ObjectInfo> PutAsync(string key, Stream content, PutCondition condition, CancellationToken cancellation);

    /// <summary>
    /// Stores all of a file that is finished: nobody writes to it again. As <see cref="PutAsync"/>, and where store and file lie on one disk
    /// the file itself becomes the object, without a copy.
    /// </summary>
    ValueTask<ObjectInfo> PutFileAsync(string key, FileStream file, PutCondition condition, CancellationToken cancellation)
    {
        file.Position = 0;
        return PutAsync(key, file, condition, cancellation);
    }

    /// <summary>All objects whose key starts with <paramref name="prefix"/>, in ordinal order of keys.</summary>
    IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, CancellationToken cancellation);

    /// <summary>Removes an object; removing none is a success.</summary>
    ValueTask DeleteAsync(string key, CancellationToken cancellation);

    /// <summary>
    /// Removes what puts left that never ended (temporary files, parts of multipart uploads) and have not grown, or, on S3, were begun,
    /// longer than <paramref name="age"/> ago; or only tells of it. Readers never see any of it.
    /// </summary>
    ValueTask<IReadOnlyList<ObjectInfo>> RemoveLeftoversAsync(TimeSpan age, bool dryRun, CancellationToken cancellation);

    /// <summary>
    /// An address at which anybody gets the object by HTTP for a while, ranges included; null where the store gives none. The object is not
    /// looked for.
    /// </summary>
    ValueTask<Uri?> PresignAsync(string key, TimeSpan validity, CancellationToken cancellation) => ValueTask.FromResult<Uri?>(null);
}

/// <summary>An object that is there.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Tag">Changes whenever the content does; compare for equality only.</param>
public sealed record ObjectInfo(string Key, long Size, string Tag);

/// <summary>When a put may go through.</summary>
public enum PutCondition
{
    /// <summary>Always: replaces what is there.</summary>
    None,

    /// <summary>Only when there is no object of this key.</summary>
    IfAbsent,
}
