namespace Drover.ObjectStore;

/// <summary>Which store a process uses: a folder, or S3. Configuration section "ObjectStore".</summary>
public sealed record ObjectStoreOptions
{
    /// <summary>A folder on disk. Used when <see cref="S3Endpoint"/> is empty.</summary>
    public string Folder { get; init; } = "";

    /// <summary>An S3 endpoint, e.g. "http://127.0.0.1:9000".</summary>
    public string S3Endpoint { get; init; } = "";

    /// <summary>The bucket; made at start when it is not there.</summary>
    public string S3Bucket { get; init; } = "drover";

    /// <summary>The region that requests are signed for.</summary>
    public string S3Region { get; init; } = "us-east-1";

    /// <summary>Access key.</summary>
    public string S3AccessKey { get; init; } = "";

    /// <summary>Secret key; never logged.</summary>
    public string S3SecretKey { get; init; } = "";
}
