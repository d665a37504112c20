using System.Text.RegularExpressions;
using Drover.Errors;

namespace Drover.ObjectStore;

/// <summary>Opens the store that the options name.</summary>
public static partial class ObjectStores
{
    /// <summary>Checks the options and opens a folder or a bucket. A bucket is connected to at its first use.</summary>
    /// <exception cref="DroverException">InvalidArgument, naming everything that is wrong at once.</exception>
    public static IObjectStore Open(ObjectStoreOptions options)
    {
        Check(options);
        return options.S3Endpoint.Length == 0
            ? new FolderObjectStore(options.Folder)
            : new RetryingObjectStore(new S3ObjectStore(options), TimeSpan.FromSeconds(options.S3PatienceSeconds), TimeProvider.System);
    }

    /// <summary>Refuses options that cannot be opened: for a service's start.</summary>
    /// <exception cref="DroverException">InvalidArgument, naming everything that is wrong at once.</exception>
    public static void Check(ObjectStoreOptions options)
    {
        List<string> problems = [.. Problems(options)];
        if (problems.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_OBJECT_STORE_OPTIONS", $"Configuration of the object store: {string.Join(" ", problems)}");
    }

    /// <summary>What is wrong with the options, one sentence each.</summary>
    public static IEnumerable<string> Problems(ObjectStoreOptions options)
    {
        if (options.S3Endpoint.Length == 0)
        {
            if (options.Folder.Length == 0)
                yield return "Neither ObjectStore:Folder nor ObjectStore:S3Endpoint is set.";
            yield break;
        }

        if (options.Folder.Length > 0)
            yield return "Both ObjectStore:Folder and ObjectStore:S3Endpoint are set; leave one empty.";
        if (!Uri.TryCreate(options.S3Endpoint, UriKind.Absolute, out Uri? uri) || uri.Scheme is not ("http" or "https") || uri.AbsolutePath != "/")
            yield return $"ObjectStore:S3Endpoint '{options.S3Endpoint}' is not an address like http://127.0.0.1:9000.";
        if (!BucketName().IsMatch(options.S3Bucket))
            yield return $"ObjectStore:S3Bucket '{options.S3Bucket}' is not 3 to 63 small letters, digits, dots and dashes.";
        if (options.S3Region.Length == 0)
            yield return "ObjectStore:S3Region is empty.";
        S3Credentials credentials = S3Credentials.Find(options, Environment.GetEnvironmentVariable);
        if (credentials.AccessKey.Length == 0)
            yield return "ObjectStore:S3AccessKey is empty, and neither AWS_ACCESS_KEY_ID nor a credentials file (ObjectStore:S3CredentialsFile, S3Profile) gives one.";
        if (credentials.SecretKey.Length == 0)
            yield return "ObjectStore:S3SecretKey is empty, and neither AWS_SECRET_ACCESS_KEY nor a credentials file gives one.";
        if (options.S3CertificateFile.Length > 0 && !File.Exists(options.S3CertificateFile))
            yield return $"ObjectStore:S3CertificateFile '{options.S3CertificateFile}' is not there.";
        if (options.S3PatienceSeconds is < 0 or > 86400)
            yield return $"ObjectStore:S3PatienceSeconds is {options.S3PatienceSeconds}, and must be 0 to 86400.";
    }

    [GeneratedRegex(@"\A[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\z")]
    private static partial Regex BucketName();
}
