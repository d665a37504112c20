using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>A micro-batch on its way through this rank: its tokens, and what its passes through each part keep.</summary>
internal sealed class Passage : IDisposable
{
    private const int LargeBatch = 1024;
    private const int Alignment = 64;
    private readonly TokenBatch _whole;

    /// <param name="rows">The rows.</param>
    /// <param name="model">Any part of the model.</param>
    /// <param name="spec">Who shares the tokens.</param>
    /// <param name="sequenceRank">This rank's part of them, in the modes ring and all-to-all.</param>
    /// <param name="parts">Parts of the model on this rank.</param>
    public Passage(IReadOnlyList<Formats.Datasets.PackedRow> rows, LlamaPart model, ParallelSpec spec, int sequenceRank, int parts)
    {
        int tokens = rows.Sum(r => r.InputIds.Length);
        int shares = spec.SequenceMode == SequenceMode.SplitGather ? spec.TensorParallel : spec.SequenceParallel;
        // The library prepares and caches kernels by shape: rows that are full but for a few tokens are to be one shape.
        _whole = TokenBatch.From(rows, shares * (tokens >= LargeBatch ? Alignment : 1));
        int mine = _whole.TokenCount / shares;
        Batch = spec.SequenceParallel > 1 ? _whole.Stretch(sequenceRank * mine, mine) : _whole;
        Context = new BatchContext(Batch, model.Rotary, model.Type, _whole.DocumentLengths);
        ResidualShape = [mine, model.Config.HiddenSize];
        Runs = [.. Enumerable.Range(0, parts).Select(_ => new PartRun())];
    }

    /// <summary>The tokens that this rank's half blocks run over.</summary>
    public TokenBatch Batch { get; }

    public BatchContext Context { get; }

    /// <summary>Shape of the residual stream on this rank: what goes from stage to stage.</summary>
    public long[] ResidualShape { get; }

    public PartRun[] Runs { get; }

    /// <summary>Parts that it has still to go back through.</summary>
    public int PartsLeft { get; set; }

    public void Dispose()
    {
        Context.Dispose();
        Batch.Dispose();
        _whole.Dispose();
    }
}

/// <summary>What a pass through a part keeps for its backward pass.</summary>
internal sealed class PartRun
{
    /// <summary>Inputs of the layers.</summary>
    public List<Tensor> Inputs { get; } = [];

    /// <summary>What each layer kept; null where it will run forward again.</summary>
    public List<LayerKept?> Kept { get; } = [];

    /// <summary>Output of the last layer, where the head is here.</summary>
    public Tensor? Output { get; set; }
}
