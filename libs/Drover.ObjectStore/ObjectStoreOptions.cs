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

    /// <summary>Access key. Empty: of the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), else of the credentials file.</summary>
    public string S3AccessKey { get; init; } = "";

    /// <summary>Secret key; never logged.</summary>
    public string S3SecretKey { get; init; } = "";

    /// <summary>A file of keys as AWS's tools keep it. Empty: AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials.</summary>
    public string S3CredentialsFile { get; init; } = "";

    /// <summary>Which part of the credentials file.</summary>
    public string S3Profile { get; init; } = "default";

    /// <summary>Certificates (PEM) that an https endpoint is trusted by, in place of the system's. Empty: the system's.</summary>
    public string S3CertificateFile { get; init; } = "";

    /// <summary>How long the store may be silent before what needs it fails, seconds.</summary>
    public int S3PatienceSeconds { get; init; } = 150;

    // A record prints its members; two of these are secrets.
    private bool PrintMembers(System.Text.StringBuilder text)
    {
        text.Append(System.Globalization.CultureInfo.InvariantCulture, $"Folder = {Folder}, S3Endpoint = {S3Endpoint}, S3Bucket = {S3Bucket}, S3Region = {S3Region}, S3CredentialsFile = {S3CredentialsFile}, S3Profile = {S3Profile}");
        return true;
    }
}
