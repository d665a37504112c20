using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>What all layers need to know of a micro-batch: computed once, on the device, and shared by them.</summary>
public sealed class BatchContext : IDisposable
{
    private readonly Dictionary<int, VisibleKeys> _visible = [];
    private readonly int[] _documentStarts;
    private readonly int _longest;

    /// <summary>Prepares a batch.</summary>
    /// <param name="batch">Its tokens; stays the caller's.</param>
    /// <param name="rotary">Tables of the model.</param>
    /// <param name="type">Of the activations.</param>
    /// <param name="documentLengths">Of all documents that take part in attention; null for the batch's own.</param>
    public BatchContext(TokenBatch batch, RotaryTables rotary, ScalarType type, IReadOnlyList<long>? documentLengths = null)
    {
        using var scope = NewDisposeScope();
        Batch = batch;
        Type = type;
        IReadOnlyList<long> lengths = documentLengths ?? batch.DocumentLengths;
        _documentStarts = new int[lengths.Sum()];
        int at = 0;
        foreach (long length in lengths)
        {
            Array.Fill(_documentStarts, at, at, (int)length);
            at += (int)length;
        }

        _longest = (int)lengths.Max();
        (Tensor cos, Tensor sin) = rotary.For(batch.Positions, batch.LengthOfDocument, type);
        // [tokens, 1, head size]: one table for all heads.
        Cos = cos.unsqueeze(1).DetachFromDisposeScope();
        Sin = sin.unsqueeze(1).DetachFromDisposeScope();
        NegativeSin = Sin.neg().DetachFromDisposeScope();
    }

    /// <summary>The tokens.</summary>
    public TokenBatch Batch { get; }

    /// <summary>Type of the activations.</summary>
    public ScalarType Type { get; }

    /// <summary>Of adapters, while training; null for none.</summary>
    public IDropoutMasks? Dropout { get; init; }

    /// <summary>Cosines, [tokens, 1, head size].</summary>
    public Tensor Cos { get; }

    /// <summary>Sines, [tokens, 1, head size].</summary>
    public Tensor Sin { get; }

    /// <summary>Sines negated: for gradients.</summary>
    public Tensor NegativeSin { get; }

    /// <summary>What each token sees in layers that have a window, or (null) in those that have none.</summary>
    public VisibleKeys VisibleWithin(int? window)
    {
        if (!_visible.TryGetValue(window ?? 0, out VisibleKeys? known))
            _visible[window ?? 0] = known = new VisibleKeys(_documentStarts, _longest, window, Type, Batch.Ids.device);
        return known;
    }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (VisibleKeys visible in _visible.Values)
            visible.Dispose();
        Cos.Dispose();
        Sin.Dispose();
        NegativeSin.Dispose();
    }
}
