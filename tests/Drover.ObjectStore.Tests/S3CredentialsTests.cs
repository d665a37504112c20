using Drover.Testing;

namespace Drover.ObjectStore.Tests;

public sealed class S3CredentialsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Keys_come_from_the_options_then_the_environment_then_a_file()
    {
        File.WriteAllText(_folder["credentials"], """
            [default]
            aws_access_key_id = file
            aws_secret_access_key=file secret

            [other]
            # not this one
            aws_access_key_id = other
            aws_secret_access_key = other secret
            aws_session_token = token
            """);
        var environment = new Dictionary<string, string> { ["AWS_ACCESS_KEY_ID"] = "environment", ["AWS_SECRET_ACCESS_KEY"] = "environment secret" };
        var options = new ObjectStoreOptions { S3AccessKey = "options", S3SecretKey = "options secret", S3CredentialsFile = _folder["credentials"] };
        Assert.Equal(new S3Credentials("options", "options secret", ""), S3Credentials.Find(options, environment.GetValueOrDefault));
        options = options with { S3AccessKey = "", S3SecretKey = "" };
        Assert.Equal(new S3Credentials("environment", "environment secret", ""), S3Credentials.Find(options, environment.GetValueOrDefault));
        environment.Clear();
        Assert.Equal(new S3Credentials("file", "file secret", ""), S3Credentials.Find(options, environment.GetValueOrDefault));
        Assert.Equal(new S3Credentials("other", "other secret", "token"), S3Credentials.Find(options with { S3Profile = "other" }, environment.GetValueOrDefault));
        environment["AWS_SHARED_CREDENTIALS_FILE"] = _folder["credentials"];
        Assert.Equal("file", S3Credentials.Find(options with { S3CredentialsFile = "" }, environment.GetValueOrDefault).AccessKey);
        Assert.Equal("", S3Credentials.Find(options with { S3Profile = "none" }, environment.GetValueOrDefault).AccessKey);
    }

    [Fact]
    public void The_checksum_of_parts_is_that_of_S3()
    {
        // Of AWS: the MD5 of the concatenated MD5s, a dash, the number of parts.
        Assert.Equal("900150983cd24fb0d6963f7d28e17f72", Convert.ToHexStringLower(S3Checksum.Of("abc"u8.ToArray())));
        byte[] bytes = new byte[PartDigests.PartBytes + 10];
        var parts = new PartDigests();
        foreach (byte[] chunk in bytes.Chunk(1_000_003))
            parts.Add(chunk);
        byte[] first = S3Checksum.Of(bytes[..PartDigests.PartBytes]);
        byte[] second = S3Checksum.Of(bytes[PartDigests.PartBytes..]);
        string tag = Convert.ToHexStringLower(S3Checksum.Of([.. first, .. second])) + "-2";
        Assert.True(parts.Agree(new ObjectInfo("a", bytes.Length, tag)));
        Assert.Equal(tag, parts.Tag);
        Assert.False(parts.Agree(new ObjectInfo("a", bytes.Length, new string('0', 32) + "-2")));
        Assert.True(parts.Agree(new ObjectInfo("a", bytes.Length, "of another kind")));
    }
}
