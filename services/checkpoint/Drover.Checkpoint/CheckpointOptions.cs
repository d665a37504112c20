namespace Drover.Checkpoint;

/// <summary>Options of the checkpoint service. Configuration section "Checkpoint".</summary>
public sealed record CheckpointOptions
{
    /// <summary>Where the read side of the Hub's API listens (HTTP/1.1), default http://127.0.0.1:7581; empty: nowhere.</summary>
    public string HubAddress { get; set; } = "http://127.0.0.1:7581";

    /// <summary>
    /// Whether who pulls a model may be sent to the object store itself, by addresses that it signed for an hour: S3 only, and only where its
    /// address is one that clients reach.
    /// </summary>
    public bool PresignedAddresses { get; set; }

    /// <summary>
    /// Addresses that models are imported from, with commas between them; the first is where none is named. Empty: nowhere. "s3://bucket" is
    /// another bucket of the S3 store, read with its keys.
    /// </summary>
    public string ImportAddresses { get; set; } = "https://huggingface.co";

    /// <summary>A file with the token that is shown to the first of them, and to no other. Empty: HF_TOKEN of the environment, where it is set.</summary>
    public string ImportTokenFile { get; set; } = "";

    /// <summary>The addresses one by one, without slashes at their ends.</summary>
    internal IReadOnlyList<string> Addresses => [.. ImportAddresses.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(a => a.TrimEnd('/'))];
}
