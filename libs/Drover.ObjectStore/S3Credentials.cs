namespace Drover.ObjectStore;

/// <summary>
/// Keys for S3: of the options; else of the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN); else of a file as
/// AWS's tools keep it (ObjectStore:S3CredentialsFile, AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials), under a profile.
/// </summary>
/// <param name="AccessKey">Empty where there is none.</param>
/// <param name="SecretKey">Empty where there is none.</param>
/// <param name="SessionToken">Of keys that are lent for a time; else empty.</param>
internal sealed record S3Credentials(string AccessKey, string SecretKey, string SessionToken)
{
    /// <summary>Finds them.</summary>
    /// <param name="options">The options.</param>
    /// <param name="environment">Gives a variable, or null.</param>
    public static S3Credentials Find(ObjectStoreOptions options, Func<string, string?> environment)
    {
        if (options.S3AccessKey.Length > 0 || options.S3SecretKey.Length > 0)
            return new S3Credentials(options.S3AccessKey, options.S3SecretKey, "");
        if (environment("AWS_ACCESS_KEY_ID") is { Length: > 0 } key)
            return new S3Credentials(key, environment("AWS_SECRET_ACCESS_KEY") ?? "", environment("AWS_SESSION_TOKEN") ?? "");
        string file = options.S3CredentialsFile.Length > 0 ? options.S3CredentialsFile
            : environment("AWS_SHARED_CREDENTIALS_FILE") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".aws", "credentials");
        return File.Exists(file) ? OfFile(file, options.S3Profile) : new S3Credentials("", "", "");
    }

    private static S3Credentials OfFile(string file, string profile)
    {
        var found = new Dictionary<string, string>(StringComparer.Ordinal);
        bool isInside = false;
        foreach (string raw in File.ReadLines(file))
        {
            string line = raw.Trim();
            if (line.StartsWith('['))
                isInside = line.Trim('[', ']').Trim() == profile;
            else if (isInside && line.Split('=', 2) is [var name, var value] && !line.StartsWith('#'))
                found[name.Trim()] = value.Trim();
        }

        return new S3Credentials(found.GetValueOrDefault("aws_access_key_id", ""), found.GetValueOrDefault("aws_secret_access_key", ""), found.GetValueOrDefault("aws_session_token", ""));
    }

    // A record prints its members; these are secrets.
    private bool PrintMembers(System.Text.StringBuilder text)
    {
        text.Append("AccessKey = ").Append(AccessKey.Length > 0 ? "***" : "");
        return true;
    }
}
