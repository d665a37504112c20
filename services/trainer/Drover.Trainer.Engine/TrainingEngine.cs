using System.Diagnostics;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>
/// Trains a LLaMA on one rank, together with the other ranks of its collectives. Not thread safe: one thread drives it.
/// A step is a pure function of (spec, step number, state):
///   1. its rows: a keyed permutation of global row ids; micro-batch m of replica r takes fixed places of it;
///   2. the labels of all replicas are counted, so that every micro-batch's loss is divided by the same number, once;
///   3. the micro-batches run through <see cref="StepPass"/>, which starts reductions block by block;
///   4. the norm over all gradients, clipping folded into the fused AdamW, the learning rate of the step.
/// </summary>
public sealed class TrainingEngine : IDisposable
{
    private readonly EngineSpec _spec;
    private readonly IRowSource _rows;
    private readonly RankGrid _grid;
    private readonly StepRows _stepRows;
    private readonly RankModel _model;
    private readonly StepPass _pass;
    private readonly TrainedParts _trained;

    /// <summary>Allocates this rank's share of weights, gradients and moments. Load or initialize the weights before the first step.</summary>
    /// <exception cref="DroverException">InvalidArgument for a spec that cannot run; Unimplemented, naming what of the config is not supported; FailedPrecondition when the rows do not fit the model.</exception>
    /// <param name="spec">The run.</param>
    /// <param name="config">The model.</param>
    /// <param name="collectives">The ranks.</param>
    /// <param name="rows">What is read.</param>
    /// <param name="order">In which order; null for all rows, shuffled anew each epoch.</param>
    public TrainingEngine(EngineSpec spec, LlamaConfig config, ICollectives collectives, IRowSource rows, IRowOrder? order = null)
    {
        spec.Validate(config, collectives.WorldSize);
        if (rows.RowCount == 0)
            throw new DroverException(FailureCode.FailedPrecondition, "EMPTY_DATASET", "The dataset has no rows.");
        if (spec.Threads > 0)
            set_num_threads(spec.Threads);
        (_spec, _rows, Config, Memory) = (spec, rows, config, new MemoryLedger(spec.Device));
        LossScale = spec.Precision == Precision.Fp16 ? spec.LossScale.Start : null;
        _trained = ModelFlops.PartsOf(config, name => spec.Lora is { } lora ? lora.IsSaved(name) || lora.HasTokenRows(name) : spec.Rates.FactorOf(name) > 0);
        _grid = new RankGrid(spec.Parallel, collectives);
        _stepRows = new StepRows(order ?? new RowOrder(rows.RowCount, spec.Seed), spec.GlobalBatchRows, spec.MicroBatchRows, _grid.Replicas);
        _model = new RankModel(config, spec, _grid, Memory);
        _pass = new StepPass(_model.Parts, _model.States, _grid, spec, Memory);
    }

    /// <summary>The model.</summary>
    public LlamaConfig Config { get; }

    /// <summary>What this rank holds, by class.</summary>
    public MemoryLedger Memory { get; }

    /// <summary>What moved between device and host memory, where the placement is Gemini.</summary>
    public GeminiReport? Gemini => _model.Arena?.Report;

    /// <summary>What this rank moved, by axis and operation.</summary>
    public TrafficCounter Traffic => _grid.World.Traffic;

    /// <summary>Is told what this rank does, span by span; null for nobody.</summary>
    public StepTrace? Trace
    {
        get => _pass.Trace;
        set => (_pass.Trace, Traffic.Trace) = (value, value);
    }

    /// <summary>Optimizer steps done: 0, or what <see cref="LoadState"/> was given, and one more for each <see cref="Step"/>.</summary>
    public long StepsDone { get; private set; }

    /// <summary>In fp16, where the loss scale stands: of the state, and the same on every rank. Null for other precisions.</summary>
    public LossScaleState? LossScale { get; private set; }

    /// <summary>What the guard knows, of the state: the same on every rank.</summary>
    public GuardState Guard { get; private set; } = GuardState.Start;

    /// <summary>What a row is called in messages, beside its id; null to leave it at the id.</summary>
    public Func<long, string?>? PlaceOfRow { get; set; }

    /// <summary>Everything of this rank that a checkpoint needs: master weights, then first, then second moments.</summary>
    public IReadOnlyList<StateSlice> State => _model.State;

    /// <summary>The slices of <see cref="State"/> that this rank writes, so that each is written once over all ranks.</summary>
    public IReadOnlyList<StateSlice> SavedState => _model.SavedState;

    /// <summary>Starts from weights with fresh moments, at step 0. Every rank calls it.</summary>
    /// <param name="read">Of the model.</param>
    /// <param name="adapter">Of an adapter to go on from: everything that LoRA trains; null for fresh ones.</param>
    public void LoadWeights(StateReader read, StateReader? adapter = null)
    {
        StateReader start = _spec.Lora is { } lora ? AdapterStart.Beside(read, adapter, lora, Config, _spec.Seed) : read;
        LoadState(0, (slice, values) =>
        {
            if (slice.Kind == LogicalTensor.Weight)
                start(slice, values);
            else
                values.Clear();
        });
    }

    /// <summary>Starts from random weights (see <see cref="LanguageModel.InitializeWeights"/>) with fresh moments, at step 0.</summary>
    public void InitializeWeights(long seed) =>
        LoadWeights((slice, values) => LanguageModel.FillRandom(Config, slice, values, seed));

    /// <summary>Goes on from a saved state: every slice of <see cref="State"/> is asked for, and the weights that are held for compute alone. Every rank calls it.</summary>
    /// <param name="stepsDone">Steps that the state has behind it.</param>
    /// <param name="read">Fills them.</param>
    /// <param name="lossScale">Where the loss scale stood; null, or a precision without one, for the start.</param>
    /// <param name="guard">What the guard knew; null for nothing.</param>
    public void LoadState(long stepsDone, StateReader read, LossScaleState? lossScale = null, GuardState? guard = null)
    {
        // One buffer for all: of a large model, one for each would be as much memory again.
        float[] buffer = new float[State.Concat(_model.Base).Max(s => s.Count)];
        foreach (StateSlice slice in _model.Base)
        {
            Span<float> values = buffer.AsSpan(0, (int)slice.Count);
            read(slice, values);
            _model.SetBase(slice, values);
        }

        foreach (StateSlice slice in State)
        {
            Span<float> values = buffer.AsSpan(0, (int)slice.Count);
            read(slice, values);
            _model.SetState(slice, values);
        }

        _model.PublishMaster();
        StepsDone = stepsDone;
        Guard = guard ?? GuardState.Start;
        LossScale = _spec.Precision == Precision.Fp16 ? lossScale ?? _spec.LossScale.Start : null;
    }

    /// <summary>
    /// Begins a stage with the weights of a saved state of the stage before. The guard forgets what losses were like; the loss scale goes on. Every rank calls it.
    /// </summary>
    /// <param name="read">Fills slices, as in <see cref="LoadState"/>.</param>
    /// <param name="lossScale">Where it stood.</param>
    /// <param name="guard">What it knew.</param>
    /// <param name="keepMoments">Whether the moments go on too; else they and the counts of skipped steps begin at zero.</param>
    public void BeginStage(StateReader read, LossScaleState? lossScale, GuardState? guard, bool keepMoments)
    {
        LoadState(
            _spec.Start.Step,
            (slice, values) =>
            {
                if (keepMoments || slice.Kind == LogicalTensor.Weight)
                    read(slice, values);
                else
                    values.Clear();
            },
            keepMoments ? lossScale : lossScale is null ? null : lossScale with { SkippedSteps = 0 },
            GuardState.Start with { SkippedSteps = keepMoments ? guard?.SkippedSteps ?? 0 : 0 });
    }

    /// <summary>Leaves rows out: those of the next step are of this batch (counted in global batches over the order of rows), or of a later one where the run is there already.</summary>
    public void SkipToBatch(long batch) => Guard = Guard with { SkippedBatches = Math.Max(Guard.SkippedBatches, batch - (StepsDone - _spec.Start.Step)) };

    /// <summary>Copies a slice of <see cref="State"/> out.</summary>
    public void CopyState(StateSlice slice, Span<float> destination) => _model.CopyState(slice, destination);

    /// <summary>
    /// Does step <see cref="StepsDone"/> + 1: its rows, forward, backward, reduction over ranks, clipping, AdamW.
    /// </summary>
    /// <returns>What was done. Where it holds an anomaly of the kind Rollback, the step was not done, and the engine stands as before it.</returns>
    /// <exception cref="DroverException">
    /// Internal when the guard says to stop: the weights are then those before the step. In fp16 a gradient that is not finite skips the
    /// update only, until the loss scale is below 1.
    /// </exception>
    public StepResult Step()
    {
        long started = Stopwatch.GetTimestamp();
        long step = StepsDone + 1;
        (List<MicroBatch> microBatches, double[] counts) = ReadRows(step);
        if (counts[0] == 0)
            throw new DroverException(FailureCode.FailedPrecondition, "NO_LABELS", $"No row of step {step} has a token that carries loss.");
        using var scope = NewDisposeScope();
        _model.Arena?.BeginStep();
        foreach (BlockState state in _model.States.Values)
            state.BeginStep();
        double lossScale = LossScale?.Scale ?? 1;
        _pass.Run(microBatches, lossScale / counts[0], step);
        _pass.ReadLosses();

        long optimizing = Stopwatch.GetTimestamp();
        double rate = _spec.Optimizer.LearningRate * _spec.Schedule.FactorAt(step - _spec.Start.ScheduleStep);
        // Every rank of a tensor group has the loss of its head whole.
        double loss = _grid.World.Sum(_grid.Tensor.Rank == 0 ? _pass.LossSum : 0) / counts[0];
        (double norm, StepAnomaly? anomaly) = Update(step, rate, loss, microBatches);
        if (anomaly is not { Action: AnomalyAction.Rollback })
            StepsDone = step;
        return new StepResult(step, loss, norm, rate, (long)counts[0], (long)counts[1], Stopwatch.GetElapsedTime(started).TotalSeconds, _pass.ForwardSeconds, _pass.BackwardSeconds, Stopwatch.GetElapsedTime(optimizing).TotalSeconds, ModelFlops.OfStep(Config, counts[1], counts[0], counts[2], _trained), lossScale, SkippedSteps, anomaly);
    }

    /// <summary>The model as it stands, to continue texts with, until the next step; the caller's to dispose. For layouts that keep all weights on each rank.</summary>
    /// <exception cref="InvalidOperationException">This layout does not.</exception>
    public LanguageModel BorrowModel()
    {
        if (!_spec.Parallel.KeepsModelWhole)
            throw new InvalidOperationException("No rank of this layout has all weights.");
        // Weights may still be on their way from the update.
        foreach (BlockState state in _model.States.Values)
        {
            state.Acquire();
            state.Release();
        }

        return new LanguageModel(Config, _spec.Precision, _model.Parts[0].Blocks);
    }

    /// <summary>Loss of the model as it stands on rows that are not trained on; changes nothing. Every rank calls it.</summary>
    /// <param name="rows">All ranks have the same.</param>
    /// <param name="maxRows">So many of them at most, spread evenly; 0 for all.</param>
    /// <param name="cancellation">Gives up; then the engine is of no use any more.</param>
    public EvaluationSums Evaluate(IRowSource rows, long maxRows = 0, CancellationToken cancellation = default)
    {
        long count = maxRows == 0 ? rows.RowCount : Math.Min(maxRows, rows.RowCount);
        long[] ids = new long[count];
        for (long i = 0; i < count; i++)
            ids[i] = i * rows.RowCount / count;
        return new EvaluationPass(Config, _model.Parts, _model.States, _grid, _spec).Run(rows, ids, cancellation);
    }

    /// <summary>Ids of the rows of the next step, in the order of the run: the same on every rank and under every layout.</summary>
    public long[] NextRowIds()
    {
        long first = FirstRowOf(StepsDone + 1);
        return [.. Enumerable.Range(0, _spec.GlobalBatchRows).Select(i => _stepRows.Order.RowAt(first + i))];
    }

    /// <summary>Loss of the model as it stands on some rows of the run, forward only and without noise; changes nothing. Every rank calls it.</summary>
    /// <param name="rowIds">All ranks have the same.</param>
    public EvaluationSums EvaluateRows(IReadOnlyList<long> rowIds) =>
        new EvaluationPass(Config, _model.Parts, _model.States, _grid, _spec).Run(_rows, rowIds, CancellationToken.None);

    /// <inheritdoc />
    public void Dispose()
    {
        _model.Dispose();
        _grid.Dispose();
    }

    private long SkippedSteps => (LossScale?.SkippedSteps ?? 0) + Guard.SkippedSteps;

    private (double Norm, StepAnomaly? Anomaly) Update(long step, double rate, double loss, List<MicroBatch> microBatches)
    {
        double lossScale = LossScale?.Scale ?? 1;
        // A sum over all ranks: what is not finite on one is not finite on any, so that all skip or none.
        double norm = Norm() / lossScale;
        LossScaleState? next = LossScale is null ? null : _spec.LossScale.After(LossScale, double.IsFinite(norm));
        // An overflow that a smaller loss scale will cure.
        bool isOverflow = double.IsFinite(loss) && !double.IsFinite(norm) && next is { Scale: >= 1 };
        StepAnomaly? anomaly = isOverflow || _spec.Guard.Judge(Guard, loss, norm) is not { } verdict ? null : Anomaly(step, verdict, microBatches);
        bool isUpdated = !isOverflow && anomaly is null or { Action: AnomalyAction.Warn };
        if (isUpdated || isOverflow)
            LossScale = next;
        if (isUpdated)
        {
            UpdateWeights(step - _spec.Start.MomentsStep - SkippedSteps, rate, norm, lossScale);
            Guard = _spec.Guard.Updated(Guard, loss, norm);
        }
        else if (anomaly is { Action: AnomalyAction.Skip })
        {
            Guard = Guard with { SkippedSteps = Guard.SkippedSteps + 1, SkipsInRow = Guard.SkipsInRow + 1 };
        }

        _model.Arena?.EndStep(isWhole: isUpdated);
        return (norm, anomaly);
    }

    private double Norm()
    {
        using var span = new OpenSpan(Trace, "optimizer", "last reductions and norm");
        return Math.Sqrt(_grid.World.Sum(_model.FinishGradients()));
    }

    private StepAnomaly Anomaly(long step, Verdict verdict, List<MicroBatch> microBatches)
    {
        IReadOnlyList<SuspectBatch> batches = SuspectRows.Gather(_grid, microBatches, _pass.Losses);
        string message = $"Step {step}: {verdict.What}. {SuspectRows.Describe(batches, PlaceOfRow)}";
        bool isTooOften = verdict.Action == AnomalyAction.Skip && Guard.SkipsInRow >= _spec.Guard.MaxSkipsInRow;
        if (verdict.Action != AnomalyAction.Stop && !isTooOften)
            return new StepAnomaly(verdict.Action, message, [.. batches.SelectMany(b => b.RowIds).Order()], BatchOf(step) + 1);
        string why = isTooOften ? $"{Guard.SkipsInRow} updates before it were skipped in a row, so the run ends" : "The weights are those before the step";
        throw new DroverException(FailureCode.Internal, verdict.Reason, $"{message}. {why}. Look at those rows, lower the learning rate, train in {(LossScale is null ? "fp32" : "bf16 or fp32")}, or let the guard skip such steps or roll back.");
    }

    // In the order of the stage's rows, counted from 0: those that were left out are behind the run.
    private long BatchOf(long step) => step - 1 - _spec.Start.Step + Guard.SkippedBatches;

    // In global batches of the dataset, an earlier stage's among them.
    private long OrderBatchOf(long step) => (_spec.Start.Row / _spec.GlobalBatchRows) + BatchOf(step);

    private long FirstRowOf(long step) => OrderBatchOf(step) * _spec.GlobalBatchRows;

    private void UpdateWeights(long updates, double rate, double norm, double lossScale)
    {
        using var span = new OpenSpan(Trace, "optimizer", "update");
        double clip = _spec.MaxGradNorm > 0 && norm > _spec.MaxGradNorm ? norm / _spec.MaxGradNorm : 1;
        Tensor step = tensor((float)updates, _spec.Device), scale = tensor((float)(clip * lossScale), _spec.Device);
        foreach (BlockState state in _model.States.Values)
            state.Update(_spec.Optimizer, rate, step, scale);
    }

    private (List<MicroBatch> MicroBatches, double[] Counts) ReadRows(long step)
    {
        using var span = new OpenSpan(Trace, "data", "rows and counts");
        List<MicroBatch> microBatches = ReadMicroBatches(step);
        return (microBatches, CountTokens(microBatches));
    }

    // Labels, tokens, and the sum of squared document lengths (as far as windows see), over all replicas.
    private double[] CountTokens(List<MicroBatch> microBatches)
    {
        double[] counts = [microBatches.Sum(m => m.Rows.Sum(TokenBatch.CountLabels)), microBatches.Sum(m => m.Rows.Sum(r => (long)r.InputIds.Length)), microBatches.Sum(m => m.Rows.Sum(r => r.DocumentLengths.Sum(l => ModelFlops.SquaredLength(Config, l))))];
        // The ranks of a replica have the same rows: one of them counts.
        if (_grid.Coordinates is not { Pipeline: 0, Sequence: 0, Tensor: 0 })
            Array.Clear(counts);
        _grid.World.AllReduceSum(counts);
        return counts;
    }

    private List<MicroBatch> ReadMicroBatches(long step)
    {
        var batches = new List<MicroBatch>(_stepRows.Accumulation);
        foreach (long[] ids in _stepRows.IdsOf(OrderBatchOf(step), _grid.Coordinates.Data))
        {
            PackedRow[] rows = [.. ids.Select(_rows.Read)];
            LanguageModel.CheckIds(Config, rows);
            batches.Add(new MicroBatch(rows, ids));
        }

        // On the way while this step runs.
        _rows.Prefetch(_stepRows.IdsOf(OrderBatchOf(step) + 1, _grid.Coordinates.Data).SelectMany(ids => ids));
        return batches;
    }
}
