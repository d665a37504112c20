namespace Drover.Discovery;

/// <summary>The five services and where each listens when nothing else is said.</summary>
public static class ServiceNames
{
    /// <summary>One API over all.</summary>
    public const string Gateway = "gateway";

    /// <summary>Vocabularies.</summary>
    public const string Tokenizer = "tokenizer";

    /// <summary>Datasets.</summary>
    public const string DataPrep = "dataprep";

    /// <summary>Training.</summary>
    public const string Trainer = "trainer";

    /// <summary>Checkpoints and models.</summary>
    public const string Checkpoint = "checkpoint";

    /// <summary>Default addresses, gRPC over HTTP/2 without TLS on loopback.</summary>
    public static IReadOnlyDictionary<string, string> DefaultAddresses { get; } = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        [Gateway] = "http://127.0.0.1:7500",
        [Tokenizer] = "http://127.0.0.1:7501",
        [DataPrep] = "http://127.0.0.1:7502",
        [Trainer] = "http://127.0.0.1:7503",
        [Checkpoint] = "http://127.0.0.1:7504",
    };
}
