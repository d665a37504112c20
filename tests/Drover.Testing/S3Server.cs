using Drover.ObjectStore;
using Xunit;

namespace Drover.Testing;

/// <summary>
/// A real S3 server, named by DROVER_TEST_S3_ENDPOINT, DROVER_TEST_S3_ACCESS_KEY and DROVER_TEST_S3_SECRET_KEY. Tests that need one skip, saying so,
/// where none is named.
/// </summary>
public static class S3Server
{
    /// <summary>What opens a bucket of it; skips the running test when there is no server.</summary>
    public static ObjectStoreOptions Require(string bucket)
    {
        string? endpoint = Environment.GetEnvironmentVariable("DROVER_TEST_S3_ENDPOINT");
        Assert.SkipWhen(string.IsNullOrEmpty(endpoint), "needs an S3 server: set DROVER_TEST_S3_ENDPOINT, DROVER_TEST_S3_ACCESS_KEY and DROVER_TEST_S3_SECRET_KEY");
        return new ObjectStoreOptions
        {
            S3Endpoint = endpoint!,
            S3Bucket = bucket,
            S3AccessKey = Environment.GetEnvironmentVariable("DROVER_TEST_S3_ACCESS_KEY") ?? "",
            S3SecretKey = Environment.GetEnvironmentVariable("DROVER_TEST_S3_SECRET_KEY") ?? "",
        };
    }

    /// <summary>The same as arguments of a service.</summary>
    public static string[] Settings(ObjectStoreOptions options) =>
        [$"--ObjectStore:S3Endpoint={options.S3Endpoint}", $"--ObjectStore:S3Bucket={options.S3Bucket}", $"--ObjectStore:S3AccessKey={options.S3AccessKey}", $"--ObjectStore:S3SecretKey={options.S3SecretKey}"];
}
