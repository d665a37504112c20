using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>
/// What of the model and its training state lies on this rank. The order of application is here: stages of the pipeline, then cuts
/// and borders of tensor and sequence parallelism, then where the state of each block lives.
/// </summary>
internal sealed class RankModel : IDisposable
{
    private static readonly string[] Kinds = [LogicalTensor.Weight, LogicalTensor.FirstMoment, LogicalTensor.SecondMoment];
    private readonly RankGrid _grid;
    private readonly Dictionary<StateSlice, (BlockState State, long First)> _places = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<StateSlice, (FrozenWeights Weights, long First)> _basePlaces = new(ReferenceEqualityComparer.Instance);
    private readonly BlockState? _tiedHead;
    private readonly BlockState? _tiedEmbedding;

    public RankModel(LlamaConfig config, EngineSpec spec, RankGrid grid, MemoryLedger ledger)
    {
        _grid = grid;
        ParallelSpec parallel = spec.Parallel;
        Arena = parallel.Placement == StatePlacement.Gemini ? new DeviceArena(parallel.Gemini, ledger) : null;
        bool splitTokens = parallel.SequenceMode == SequenceMode.SplitGather, cut = parallel.TensorParallel > 1;
        var table = new WeightTable(spec.Rates, spec.Lora, spec.HasBase || spec.Lora is not null, grid.Tensor.Rank, grid.Tensor.WorldSize);
        Parts = [.. StageTable.PartsOf(config, grid.Pipeline.Rank, parallel).Select(span => new LlamaPart(
            config,
            spec.Precision,
            span,
            table,
            cut ? new TensorBorders(grid.Tensor, splitTokens) : null,
            parallel.SequenceMode switch
            {
                SequenceMode.Ring => new RingAttention(grid.Sequence),
                SequenceMode.AllToAll => new HeadExchangeAttention(grid.Sequence, FlashAttention.For(spec.Device, LlamaPart.TypeOf(spec.Precision), config.HeadSize)),
                _ => null,
            },
            cut ? new TensorVocabulary(grid.Tensor, config.VocabSize) : null,
            spec.Lora,
            spec.Device))];
        var uncut = new UncutGradients(grid.Tensor, splitTokens);
        foreach (BlockWeights block in Parts.SelectMany(p => p.Blocks))
            States[block] = NewState(block, parallel, Parts[0].Type, uncut, ledger, spec.Optimizer.Kind);
        if (config.TieWordEmbeddings && parallel.PipelineParallel > 1)
        {
            _tiedEmbedding = Parts[0].Span.HasEmbedding ? States[Parts[0].EmbeddingBlock] : null;
            _tiedHead = Parts[^1].Span.HasHead ? States[Parts[^1].HeadMatrixBlock!] : null;
        }

        ListState();
    }

    public LlamaPart[] Parts { get; }

    /// <summary>Of Gemini; null for other placements.</summary>
    public DeviceArena? Arena { get; }

    /// <summary>State of each block, in the order of the blocks.</summary>
    public Dictionary<BlockWeights, BlockState> States { get; } = [];

    public List<StateSlice> State { get; } = [];

    public List<StateSlice> SavedState { get; } = [];

    /// <summary>Weights that are held for compute alone: read when a run starts or goes on, and saved nowhere.</summary>
    public List<StateSlice> Base { get; } = [];

    public void CopyState(StateSlice slice, Span<float> destination) => _places[slice].State.CopyState(slice.Kind, _places[slice].First, destination);

    public void SetBase(StateSlice slice, ReadOnlySpan<float> source) => _basePlaces[slice].Weights.Set(_basePlaces[slice].First, source);

    public void SetState(StateSlice slice, ReadOnlySpan<float> source) => _places[slice].State.SetState(slice.Kind, _places[slice].First, source);

    public void PublishMaster()
    {
        using var scope = NewDisposeScope();
        foreach (BlockState state in States.Values)
            state.PublishMaster();
    }

    /// <summary>
    /// Waits for all reductions, in the order in which they were started, and takes norms while the later ones go on; a tied embedding
    /// gets the gradient of both ends of the pipeline at both ends.
    /// </summary>
    /// <returns>This rank's part of the squared norm of the gradient: every weight counts once over all ranks.</returns>
    public double FinishGradients()
    {
        BlockState? tied = _tiedEmbedding ?? _tiedHead;
        double norm = 0;
        foreach (BlockState state in States.Values.Reverse())
        {
            state.FinishGradient();
            if (state != tied)
                norm += state.SquaredNorm(_grid.Tensor.Rank == 0);
        }

        if (tied is null)
            return norm;
        using var scope = NewDisposeScope();
        foreach (Tensor gradient in tied.OwnedGradient)
            _grid.Ends.StartAllReduceSum(TensorMemory.AddressOf(gradient), gradient.numel()).Wait();
        return norm + (tied == _tiedHead ? 0 : tied.SquaredNorm(_grid.Tensor.Rank == 0));
    }

    public void Dispose()
    {
        foreach (BlockState state in States.Values)
            state.Dispose();
        foreach (LlamaPart part in Parts)
            part.Dispose();
    }

    private BlockState NewState(BlockWeights block, ParallelSpec spec, ScalarType type, UncutGradients uncut, MemoryLedger ledger, OptimizerKind optimizer)
    {
        FrozenWeights? frozen = block.Base is { } held ? NewFrozen(held, spec, type, ledger) : null;
        BlockState? trained = frozen is not null && block.Count == 0 ? null : NewTrained(block, spec, type, uncut, ledger, optimizer);
        return frozen is null ? trained! : new SplitState(block, frozen, trained);
    }

    private FrozenWeights NewFrozen(BlockWeights block, ParallelSpec spec, ScalarType type, MemoryLedger ledger) => spec.Placement switch
    {
        StatePlacement.Zero3 => new ShardedFrozenWeights(block, type, spec.OffloadWeights ? MemoryPlace.Host : MemoryPlace.Device, _grid.Data, ledger),
        StatePlacement.Gemini => new ChunkedFrozenWeights(block, spec.Gemini.ChunkValues, type, _grid.Data, Arena!),
        _ => new WholeFrozenWeights(block, type, ledger),
    };

    private BlockState NewTrained(BlockWeights block, ParallelSpec spec, ScalarType type, UncutGradients uncut, MemoryLedger ledger, OptimizerKind optimizer) => spec.Placement switch
    {
        StatePlacement.Replicated => new ReplicatedState(block, type, _grid.Data, uncut, ledger, optimizer),
        StatePlacement.Gemini => new GeminiState(block, spec.Gemini.ChunkValues, type, _grid.Data, uncut, Arena!),
        _ => new ShardedState(block, spec, type, _grid.Data, uncut, ledger, optimizer),
    };

    private void ListState()
    {
        foreach (string kind in Kinds)
        {
            foreach (BlockState state in States.Values)
            {
                foreach (FlatBox box in FlatBoxes.Of(state.Weights, state.Owned.Start, state.Owned.Count))
                {
                    var slice = new StateSlice(kind, box.Name, box.GlobalShape, box.Offset, box.Shape);
                    State.Add(slice);
                    _places[slice] = (state, box.First);
                }
            }
        }

        foreach (FrozenWeights frozen in States.Values.Select(s => s.Frozen).OfType<FrozenWeights>())
        {
            foreach (FlatBox box in FlatBoxes.Of(frozen.Weights, frozen.Owned.Start, frozen.Owned.Count))
            {
                var slice = new StateSlice(LogicalTensor.Weight, box.Name, box.GlobalShape, box.Offset, box.Shape);
                Base.Add(slice);
                _basePlaces[slice] = (frozen, box.First);
            }
        }

        SavedState.AddRange(Dealt(State.Where(IsSavedHere)));
    }

    // What all ranks of a tensor group hold is saved by the first; a tied head by the embedding.
    private bool IsSavedHere(StateSlice slice)
    {
        BlockState state = _places[slice].State;
        bool isUncut = !state.Weights.Weights.First(w => w.Name == slice.Name).IsCut;
        return state != _tiedHead && (!isUncut || _grid.Tensor.Rank == 0);
    }

    // Copies on several ranks are dealt to them, the largest first, each to the rank that has least: every rank computes the same.
    private IEnumerable<StateSlice> Dealt(IEnumerable<StateSlice> slices)
    {
        long[] load = new long[_grid.Data.WorldSize];
        foreach (StateSlice slice in slices.OrderByDescending(t => t.Count).ThenBy(t => t.Kind, StringComparer.Ordinal).ThenBy(t => t.Name, StringComparer.Ordinal))
        {
            (int rank, int copies) = _places[slice].State.Copies;
            int least = copies == 1 ? rank : Array.IndexOf(load, load.Min());
            load[least] += slice.Count;
            if (least == rank)
                yield return slice;
        }
    }
}
