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
///   1. its rows: a keyed permutation of global row ids; micro-batch m of rank r takes fixed places of it;
///   2. the labels of all ranks are counted, so that every micro-batch's loss is divided by the same number, once;
///   3. each micro-batch runs through <see cref="BlockPass"/>; after the last one, reductions start block by block;
///   4. the norm over all gradients, clipping folded into the fused AdamW, the learning rate of the step.
/// </summary>
public sealed class TrainingEngine : IDisposable
{
    private readonly EngineSpec _spec;
    private readonly ICollectives _collectives;
    private readonly IRowSource _rows;
    private readonly RowOrder _order;
    private readonly BlockOptimizer[] _blocks;
    private readonly BlockPass _pass;
    private readonly Dictionary<string, BlockOptimizer> _blockOf = new(StringComparer.Ordinal);

    /// <summary>Allocates weights, gradients and moments. Load or initialize the weights before the first step.</summary>
    /// <exception cref="DroverException">InvalidArgument for a spec that cannot run; Unimplemented, naming what of the config is not supported; FailedPrecondition when the rows do not fit the model.</exception>
    public TrainingEngine(EngineSpec spec, LlamaConfig config, ICollectives collectives, IRowSource rows)
    {
        spec.Validate(collectives.WorldSize);
        if (rows.RowCount == 0)
            throw new DroverException(FailureCode.FailedPrecondition, "EMPTY_DATASET", "The dataset has no rows.");
        _spec = spec;
        _collectives = collectives;
        _rows = rows;
        _order = new RowOrder(rows.RowCount, spec.Seed);
        Model = new LanguageModel(config, spec.Precision, spec.Threads);
        _blocks = [.. Model.Blocks.Blocks.Select(w => new BlockOptimizer(w))];
        foreach (BlockOptimizer block in _blocks)
        {
            block.Weights.RequireGradients(true);
            foreach (string name in block.Weights.Names)
                _blockOf[name] = block;
        }

        _pass = new BlockPass(Model.Blocks, _blocks, new GradientReduction(collectives), spec.Recompute, spec.HeadChunkTokens);
        State = [.. new[] { LogicalTensor.Weight, LogicalTensor.FirstMoment, LogicalTensor.SecondMoment }
            .SelectMany(kind => Model.Weights.Select(w => w with { Kind = kind }))];
    }

    /// <summary>The model being trained, for evaluation and text between steps.</summary>
    public LanguageModel Model { get; }

    /// <summary>Optimizer steps done: 0, or what <see cref="LoadState"/> was given, and one more for each <see cref="Step"/>.</summary>
    public long StepsDone { get; private set; }

    /// <summary>Everything that a checkpoint needs: weights (fp32 master), then first, then second moments, each in the order of the blocks.</summary>
    public IReadOnlyList<StateTensor> State { get; }

    /// <summary>Starts from weights with fresh moments, at step 0.</summary>
    public void LoadWeights(StateReader read)
    {
        StepsDone = 0;
        foreach (StateTensor weight in Model.Weights)
            read(weight, _blockOf[weight.Name].ValuesOf(LogicalTensor.Weight, weight.Name));
        foreach (BlockOptimizer block in _blocks)
        {
            block.ForgetMoments();
            block.PublishMaster();
        }
    }

    /// <summary>Starts from random weights (see <see cref="LanguageModel.InitializeWeights"/>) with fresh moments, at step 0.</summary>
    public void InitializeWeights(long seed) =>
        LoadWeights((weight, values) => LanguageModel.FillRandom(Model.Config, weight, values, seed));

    /// <summary>Goes on from a saved state: every tensor of <see cref="State"/> is asked for.</summary>
    /// <param name="stepsDone">Steps that the state has behind it.</param>
    /// <param name="read">Fills them.</param>
    public void LoadState(long stepsDone, StateReader read)
    {
        foreach (StateTensor tensor in State)
            read(tensor, _blockOf[tensor.Name].ValuesOf(tensor.Kind, tensor.Name));
        foreach (BlockOptimizer block in _blocks)
            block.PublishMaster();
        StepsDone = stepsDone;
    }

    /// <summary>Copies a tensor of <see cref="State"/> out.</summary>
    public void CopyState(StateTensor tensor, Span<float> destination) =>
        _blockOf[tensor.Name].ValuesOf(tensor.Kind, tensor.Name).CopyTo(destination);

    /// <summary>
    /// Does step <see cref="StepsDone"/> + 1: its rows, forward, backward, reduction over ranks, clipping, AdamW.
    /// </summary>
    /// <exception cref="DroverException">Internal when the loss or the gradient is not finite: the weights are then those before the step.</exception>
    public StepResult Step()
    {
        long started = Stopwatch.GetTimestamp();
        long step = StepsDone + 1;
        List<PackedRow[]> microBatches = ReadMicroBatches(step);
        double[] counts = [microBatches.Sum(m => m.Sum(TokenBatch.CountLabels)), microBatches.Sum(m => m.Sum(r => (long)r.InputIds.Length)), microBatches.Sum(m => m.Sum(r => r.DocumentLengths.Sum(l => (double)l * l)))];
        _collectives.AllReduceSum(counts);
        if (counts[0] == 0)
            throw new DroverException(FailureCode.FailedPrecondition, "NO_LABELS", $"No row of step {step} has a token that carries loss.");

        foreach (BlockOptimizer block in _blocks)
            block.ForgetGradient();
        _pass.Reset();
        for (int i = 0; i < microBatches.Count; i++)
            _pass.Run(microBatches[i], 1 / counts[0], isLast: i == microBatches.Count - 1);

        double loss = _collectives.Sum(_pass.LossSum) / counts[0];
        long optimizing = Stopwatch.GetTimestamp();
        double rate = _spec.Optimizer.LearningRate * _spec.Schedule.FactorAt(step);
        double norm = Update(step, rate, loss);
        StepsDone = step;
        return new StepResult(step, loss, norm, rate, (long)counts[0], (long)counts[1], Stopwatch.GetElapsedTime(started).TotalSeconds, _pass.ForwardSeconds, _pass.BackwardSeconds, Stopwatch.GetElapsedTime(optimizing).TotalSeconds, ModelFlops.OfStep(Model.Config, counts[1], counts[0], counts[2]));
    }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (BlockOptimizer block in _blocks)
            block.Dispose();
        Model.Dispose();
    }

    private double Update(long step, double rate, double loss)
    {
        _pass.WaitForReductions();
        double norm = Math.Sqrt(_blocks.Sum(b => b.SquaredNorm()));
        if (!double.IsFinite(loss) || !double.IsFinite(norm))
            throw new DroverException(FailureCode.Internal, "NOT_FINITE", $"Step {step}: the loss is {loss} and the gradient norm {norm}. Lower the learning rate, or train in fp32.");
        using var scope = NewDisposeScope();
        double clip = _spec.MaxGradNorm > 0 && norm > _spec.MaxGradNorm ? norm / _spec.MaxGradNorm : 1;
        Tensor stepTensor = tensor((float)step), scale = tensor((float)clip);
        foreach (BlockOptimizer block in _blocks)
            block.Update(_spec.Optimizer, rate, stepTensor, scale);
        return norm;
    }

    // Place of a row in the step: accumulation first, then rank, then within the micro-batch, so that the rows of a step are
    // the same for any number of ranks.
    private List<PackedRow[]> ReadMicroBatches(long step)
    {
        int ranks = _collectives.WorldSize, size = _spec.MicroBatchRows;
        int accumulation = _spec.GlobalBatchRows / (size * ranks);
        var batches = new List<PackedRow[]>(accumulation);
        for (int a = 0; a < accumulation; a++)
        {
            long first = ((step - 1) * _spec.GlobalBatchRows) + (((long)a * ranks) + _collectives.Rank) * size;
            PackedRow[] rows = [.. Enumerable.Range(0, size).Select(i => _rows.Read(_order.RowAt(first + i)))];
            Model.CheckIds(rows);
            batches.Add(rows);
        }

        return batches;
    }
}
