using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>Both of AdamW's moments of a stretch, in whatever form they are kept between updates.</summary>
internal abstract class Moments : IDisposable
{
    /// <summary>Values that one <see cref="Open"/> may ask for.</summary>
    public abstract long WindowValues { get; }

    /// <summary>Moments of the optimizer of a run.</summary>
    public static Moments New(OptimizerKind kind, long count, MemoryPlace place, MemoryLedger ledger) =>
        kind == OptimizerKind.AdamW8Bit ? new QuantizedMoments(count, place, ledger) : new PlainMoments(ledger.New(MemoryClass.Optimizer, place, count, ScalarType.Float32), ledger.New(MemoryClass.Optimizer, place, count, ScalarType.Float32));

    /// <summary>Some of them in fp32, in the caller's dispose scope, to be changed and given back by <see cref="Close"/>. Begins at a multiple of <see cref="WindowValues"/>.</summary>
    public abstract (Tensor First, Tensor Second) Open(long first, long count);

    /// <summary>Keeps what <see cref="Open"/> gave, changed.</summary>
    public abstract void Close(long first, Tensor firstMoment, Tensor secondMoment);

    /// <summary>Copies values of one of them out.</summary>
    public abstract void Copy(bool isSecond, long first, Span<float> target);

    /// <summary>Sets values of one of them; all are set, in any order, before <see cref="FinishSet"/>.</summary>
    public abstract void Set(bool isSecond, long first, ReadOnlySpan<float> source);

    /// <summary>All values were set.</summary>
    public virtual void FinishSet()
    {
    }

    /// <inheritdoc />
    public abstract void Dispose();
}

/// <summary>In fp32.</summary>
/// <param name="first">The first moment.</param>
/// <param name="second">The second.</param>
/// <param name="owned">What is to be disposed with them.</param>
internal sealed class PlainMoments(Tensor first, Tensor second, params IDisposable[] owned) : Moments
{
    public PlainMoments(LedgerTensor first, LedgerTensor second)
        : this(first.Values, second.Values, first, second)
    {
    }

    public override long WindowValues => long.MaxValue;

    public override (Tensor First, Tensor Second) Open(long start, long count) => (first.narrow(0, start, count), second.narrow(0, start, count));

    public override void Close(long start, Tensor firstMoment, Tensor secondMoment)
    {
    }

    public override void Copy(bool isSecond, long start, Span<float> target) => TensorMemory.CopyOut(isSecond ? second : first, start, target);

    public override void Set(bool isSecond, long start, ReadOnlySpan<float> source) => TensorMemory.CopyIn(source, isSecond ? second : first, start);

    public override void Dispose()
    {
        foreach (IDisposable one in owned)
            one.Dispose();
    }
}
