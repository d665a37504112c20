using Drover.Formats.Checkpoints;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// The training state of one block on this rank: compute weights, gradient, fp32 master weights, AdamW's moments, all flat. The
/// subclasses decide which stretch of it lives here, and what happens around each use. With fp32 compute the master weights are the
/// compute weights wherever both lie whole in one place.
/// </summary>
internal abstract class BlockState(BlockWeights weights) : IDisposable
{
    private readonly (long Start, long End)[] _trained = [.. Trained(weights.Runs)];

    /// <summary>Names and places of the weights; attached to values between <see cref="Acquire"/> and <see cref="Release"/>.</summary>
    public BlockWeights Weights => weights;

    /// <summary>The stretch of the flat state whose master weights and moments this rank updates.</summary>
    public abstract (long Start, long Count) Owned { get; }

    /// <summary>How many ranks of the data axis hold the same stretch, and which of them this is.</summary>
    public abstract (int Rank, int Count) Copies { get; }

    /// <summary>Flat fp32 gradient that backward passes add to, between <see cref="BeginBackward"/> and <see cref="EndBackward"/>.</summary>
    public abstract Tensor Gradient { get; }

    /// <summary>The gradient of the owned stretch, after <see cref="FinishGradient"/>, in pieces that follow each other.</summary>
    public abstract IReadOnlyList<Tensor> OwnedGradient { get; }

    /// <summary>What of the block is held for compute alone; null where everything has state.</summary>
    public virtual FrozenWeights? Frozen => null;

    /// <summary>Says that the weights will soon be needed.</summary>
    public virtual void Prefetch()
    {
    }

    /// <summary>Brings the compute weights here. Calls may nest.</summary>
    public abstract void Acquire();

    /// <summary>They are not needed until the next <see cref="Acquire"/>.</summary>
    public abstract void Release();

    /// <summary>Starts a step: the gradient is zero.</summary>
    public abstract void BeginStep();

    /// <summary>A backward pass of this block is about to add to <see cref="Gradient"/>. Calls may nest.</summary>
    public virtual void BeginBackward()
    {
    }

    /// <summary>It has. After the last of a step the reduction over the data axis starts.</summary>
    /// <param name="isLast">No other micro-batch follows in this step.</param>
    public abstract void EndBackward(bool isLast);

    /// <summary>Gives back what a reduction under way holds, where it holds more than the owned stretch: called a block later.</summary>
    public virtual void Settle()
    {
    }

    /// <summary>Returns when the reduction is done.</summary>
    public abstract void FinishGradient();

    /// <summary>AdamW on the owned stretch; then the compute weights follow.</summary>
    /// <param name="spec">Of the run.</param>
    /// <param name="learningRate">Of the step.</param>
    /// <param name="step">Scalar tensor, counted from 1.</param>
    /// <param name="gradientScale">Scalar tensor that the gradient is divided by.</param>
    public abstract void Update(AdamWSpec spec, double learningRate, Tensor step, Tensor gradientScale);

    /// <summary>
    /// This rank's part of the sum of squares of the owned gradient of trained weights, after <see cref="FinishGradient"/>. What every rank of a cut holds
    /// is counted where <paramref name="countUncut"/>.
    /// </summary>
    public double SquaredNorm(bool countUncut)
    {
        using var scope = NewDisposeScope();
        long start = Owned.Start, end = countUncut ? start + Owned.Count : Math.Clamp(weights.UncutStart, start, start + Owned.Count);
        // Ranks that hold the same stretch share the work.
        long mine = start + ((end - start) * Copies.Rank / Copies.Count), next = start + ((end - start) * (Copies.Rank + 1) / Copies.Count), at = start;
        double sum = 0;
        foreach (Tensor piece in weights.IsFrozen ? [] : OwnedGradient)
        {
            foreach ((long first, long last) in _trained)
            {
                long from = Math.Max(Math.Max(first, at), mine), to = Math.Min(Math.Min(last, at + piece.numel()), next);
                if (from < to)
                    sum += Math.Pow(piece.narrow(0, from - at, to - from).norm().item<float>(), 2);
            }

            at += piece.numel();
        }

        return sum;
    }

    /// <summary>Copies values of the owned stretch of a kind of state out: those from <paramref name="first"/> (counted in the stretch) on.</summary>
    public abstract void CopyState(string kind, long first, Span<float> target);

    /// <summary>Sets values of the owned stretch of a kind of state.</summary>
    public abstract void SetState(string kind, long first, ReadOnlySpan<float> source);

    /// <summary>The compute weights follow the master weights that were set. Every rank calls it, after all of the state was set.</summary>
    public abstract void PublishMaster();

    /// <inheritdoc />
    public abstract void Dispose();

    /// <summary>AdamW on a stretch, where its state lies: matrices with weight decay, the rest without, frozen weights not at all.</summary>
    private protected void UpdateStretch(AdamWSpec spec, double learningRate, Tensor step, Tensor gradientScale, long start, OptimizerTensors state, Tensor gradient)
    {
        long length = gradient.numel();
        for (long first = 0; first < length; first += Math.Min(length, state.Moments.WindowValues))
        {
            using var scope = NewDisposeScope();
            long count = Math.Min(length - first, state.Moments.WindowValues);
            if (!weights.Runs.Any(r => r.RateFactor != 0 && r.Start - start < first + count && r.End - start > first))
                continue;
            (Tensor firstMoment, Tensor secondMoment) = state.Moments.Open(first, count);
            UpdateWindow(spec, learningRate, step, gradientScale, start + first, state.Master.narrow(0, first, count), gradient.narrow(0, first, count), firstMoment, secondMoment);
            state.Moments.Close(first, firstMoment, secondMoment);
        }
    }

    private void UpdateWindow(AdamWSpec spec, double learningRate, Tensor step, Tensor gradientScale, long start, Tensor master, Tensor gradient, Tensor firstMoment, Tensor secondMoment)
    {
        foreach (UpdateRun run in weights.Runs)
        {
            // Not the padding after the last weight: with it the update would end elsewhere in the library's vector code than without ranks.
            long from = Math.Max(0, run.Start - start), to = Math.Min(gradient.numel(), run.End - start);
            if (from >= to || run.RateFactor == 0)
                continue;
            using var scope = NewDisposeScope();
            Tensor Of(Tensor t) => t.narrow(0, from, to - from);
            Tensor Near(Tensor scalar) => scalar.device_type == master.device_type ? scalar : scalar.to(master.device);
            AtenScripts.AdamW(Of(master), Of(gradient), Of(firstMoment), Of(secondMoment), Near(step), Near(gradientScale), learningRate * run.RateFactor, spec.Beta1, spec.Beta2, run.HasDecay ? spec.WeightDecay : 0, spec.Epsilon);
        }
    }

    // Stretches without frozen weights, as long as they can be: one for all where nothing is frozen.
    private static IEnumerable<(long Start, long End)> Trained(IReadOnlyList<UpdateRun> runs)
    {
        long start = -1;
        foreach (UpdateRun run in runs)
        {
            if (run.RateFactor != 0 && start < 0)
                start = run.Start;
            if (run.RateFactor == 0 && start >= 0)
            {
                yield return (start, run.Start);
                start = -1;
            }
        }

        if (start >= 0)
            yield return (start, runs[^1].End);
    }
}

/// <summary>Master weights (fp32, flat) and moments of a stretch.</summary>
internal sealed record OptimizerTensors(Tensor Master, Moments Moments)
{
    /// <summary>Copies values of a kind of logical tensor out.</summary>
    public void Copy(string kind, long first, Span<float> target)
    {
        if (kind == LogicalTensor.Weight)
            TensorMemory.CopyOut(Master, first, target);
        else
            Moments.Copy(IsSecond(kind), first, target);
    }

    /// <summary>Sets values of a kind of logical tensor.</summary>
    public void Set(string kind, long first, ReadOnlySpan<float> source)
    {
        if (kind == LogicalTensor.Weight)
            TensorMemory.CopyIn(source, Master, first);
        else
            Moments.Set(IsSecond(kind), first, source);
    }

    private static bool IsSecond(string kind) => kind switch
    {
        LogicalTensor.FirstMoment => false,
        LogicalTensor.SecondMoment => true,
        _ => throw new ArgumentException($"There is no state '{kind}'.", nameof(kind)),
    };
}
