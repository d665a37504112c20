namespace Drover.Checkpoint;

/// <summary>Options of the checkpoint service. Configuration section "Checkpoint".</summary>
public sealed record CheckpointOptions
{
    /// <summary>Where the read side of the Hub's API listens (HTTP/1.1), default http://127.0.0.1:7581; empty: nowhere.</summary>
    public string HubAddress { get; set; } = "http://127.0.0.1:7581";
}
