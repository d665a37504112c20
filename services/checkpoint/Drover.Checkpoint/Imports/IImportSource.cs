namespace Drover.Checkpoint.Imports;

/// <summary>Where a model is fetched from.</summary>
internal interface IImportSource : IDisposable
{
    /// <summary>What a revision stands for, and its files.</summary>
    /// <exception cref="Drover.Errors.DroverException">NotFound, Unauthenticated, PermissionDenied, Unavailable, DataLoss; Aborted when the revision is a commit that is no more.</exception>
    Task<SourceListing> DescribeAsync(string revision, CancellationToken cancellation);

    /// <summary>A file's bytes from front to back; where the listing has digest or size, the end is an error when they are others.</summary>
    /// <param name="commit">Of the listing.</param>
    /// <param name="file">One of its files.</param>
    /// <param name="onBytes">Told of every piece.</param>
    /// <param name="cancellation">Gives up.</param>
    Task<Stream> OpenAsync(string commit, SourceFile file, Action<int> onBytes, CancellationToken cancellation);
}
