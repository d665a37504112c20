using Drover.Errors;

namespace Drover.Gateway.Tests;

/// <summary>What the tokenizer service of a test does with its jobs.</summary>
internal sealed class Script
{
    /// <summary>A job waits here between its first and its last event.</summary>
    public SemaphoreSlim Gate { get; } = new(0);

    /// <summary>Whether jobs wait at the gate.</summary>
    public bool IsGated { get; set; }

    /// <summary>What expansions fail with.</summary>
    public DroverException? Failure { get; set; }
}
