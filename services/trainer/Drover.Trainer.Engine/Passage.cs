using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>A micro-batch on its way through this rank: its tokens, and what its passes through each part keep.</summary>
internal sealed class Passage : IDisposable
{
    private const int LargeBatch = 1024;
    private const int Alignment = 64;
    private readonly TokenBatch _whole;

    /// <param name="batch">The rows.</param>
    /// <param name="model">Any part of the model.</param>
    /// <param name="spec">Who shares the tokens.</param>
    /// <param name="rank">Which part of them is this rank's.</param>
    /// <param name="parts">Parts of the model on this rank.</param>
    /// <param name="dropout">Of adapters, given the first of this rank's tokens; null for none.</param>
    public Passage(MicroBatch batch, LlamaPart model, ParallelSpec spec, RankCoordinates rank, int parts, Func<long, int, IDropoutMasks>? dropout = null)
    {
        MicroBatch = batch;
        int tokens = batch.Rows.Sum(r => r.InputIds.Length);
        int shares = spec.SequenceMode == SequenceMode.SplitGather ? spec.TensorParallel : spec.SequenceParallel;
        // The library prepares and caches kernels by shape: rows that are full but for a few tokens are to be one shape.
        _whole = TokenBatch.From(batch.Rows, shares * (tokens >= LargeBatch ? Alignment : 1), model.Device);
        int mine = _whole.TokenCount / shares;
        Batch = spec.SequenceParallel > 1 ? _whole.Stretch(rank.Sequence * mine, mine) : _whole;
        FirstToken = mine * (spec.SequenceMode == SequenceMode.SplitGather ? rank.Tensor : rank.Sequence);
        Context = new BatchContext(Batch, model.Rotary, model.Type, _whole.DocumentLengths)
        {
            // Inside the half blocks: split-gather has all tokens there.
            Dropout = dropout?.Invoke(spec.SequenceParallel > 1 ? FirstToken : 0, Batch.TokenCount),
        };
        ResidualShape = [mine, model.Config.HiddenSize];
        Runs = [.. Enumerable.Range(0, parts).Select(_ => new PartRun())];
    }

    public MicroBatch MicroBatch { get; }

    /// <summary>Where this rank's part of the residual stream begins, in tokens of the micro-batch.</summary>
    public int FirstToken { get; }

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
    public List<KeptInput> Inputs { get; } = [];

    /// <summary>What each layer kept; null where all of it will run forward again.</summary>
    public List<LayerKept?> Kept { get; } = [];

    /// <summary>Output of the last layer, where the head is here.</summary>
    public Tensor? Output { get; set; }
}
