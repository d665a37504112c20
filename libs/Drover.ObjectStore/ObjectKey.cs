using Drover.Errors;

namespace Drover.ObjectStore;

/// <summary>What may be a key, and how keys are put together.</summary>
public static class ObjectKey
{
    /// <summary>Longest key, in characters (S3 allows 1,024 bytes).</summary>
    public const int MaxLength = 900;

    /// <summary>Refuses a key that is empty, too long, absolute, or holds anything but the plain characters.</summary>
    /// <exception cref="DroverException">InvalidArgument.</exception>
    public static string Check(string key)
    {
        if (string.IsNullOrEmpty(key) || key.Length > MaxLength)
            throw Refused(key, $"a key has 1 to {MaxLength} characters");
        foreach (string part in key.Split('/'))
        {
            if (part.Length == 0)
                throw Refused(key, "a key has no empty part: no slash at either end, no two in a row");
            if (part is "." or "..")
                throw Refused(key, "a key has no part '.' or '..'");
            foreach (char c in part)
            {
                if (!char.IsAsciiLetterOrDigit(c) && c is not ('.' or '-' or '_'))
                    throw Refused(key, $"'{c}' is not a letter, digit, dot, dash or underscore");
            }
        }

        return key;
    }

    /// <summary>Refuses a prefix that no key can start with; the last part may be empty or the start of a part.</summary>
    /// <exception cref="DroverException">InvalidArgument.</exception>
    public static string CheckPrefix(string prefix)
    {
        // With a letter after it, a prefix is a key.
        if (prefix.Length > 0)
            Check(prefix + "x");
        return prefix;
    }

    /// <summary>Puts parts together with one slash between them.</summary>
    public static string Join(params ReadOnlySpan<string> parts)
    {
        var trimmed = new List<string>(parts.Length);
        foreach (string part in parts)
        {
            string text = part.Trim('/');
            if (text.Length > 0)
                trimmed.Add(text);
        }

        return string.Join('/', trimmed);
    }

    private static DroverException Refused(string? key, string why) =>
        new(FailureCode.InvalidArgument, "INVALID_OBJECT_KEY", $"Object key '{key}': {why}.");
}
