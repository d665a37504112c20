using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// In 8 bits (<see cref="BlockQuantization"/>), in blocks of <see cref="MomentBlocks.Size"/> values of the stretch. Outside they are fp32 values: what a
/// checkpoint gets are the quantized ones in fp32, and quantizing those again in the same blocks gives the same bytes, so a run goes on
/// exactly. A layout with other blocks rounds once more.
/// </summary>
internal sealed class QuantizedMoments : Moments
{
    private readonly MemoryLedger _ledger;
    private readonly MemoryPlace _place;
    private readonly Moment[] _moments;
    private LedgerTensor? _window;

    public QuantizedMoments(long count, MemoryPlace place, MemoryLedger ledger)
    {
        (_ledger, _place) = (ledger, place);
        long whole = MomentBlocks.RoundUp(count);
        _moments = [.. new[] { BlockQuantization.Signed, BlockQuantization.Unsigned }.Select(quantization => new Moment(
            quantization,
            count,
            ledger.New(MemoryClass.Optimizer, place, whole, ScalarType.Byte),
            ledger.New(MemoryClass.Optimizer, place, whole / MomentBlocks.Size, ScalarType.Float32)))];
    }

    public override long WindowValues => MomentBlocks.WindowValues;

    public override (Tensor First, Tensor Second) Open(long first, long count)
    {
        // What the two windows take is counted by one that is not used.
        _window = _ledger.New(MemoryClass.Buffers, _place, 2 * MomentBlocks.RoundUp(count), ScalarType.Float32);
        return (_moments[0].Read(first, count).narrow(0, 0, count), _moments[1].Read(first, count).narrow(0, 0, count));
    }

    public override void Close(long first, Tensor firstMoment, Tensor secondMoment)
    {
        _moments[0].Write(first, firstMoment);
        _moments[1].Write(first, secondMoment);
        _window?.Dispose();
        _window = null;
    }

    public override void Copy(bool isSecond, long first, Span<float> target)
    {
        using var scope = NewDisposeScope();
        long start = first / MomentBlocks.Size * MomentBlocks.Size;
        Tensor values = _moments[isSecond ? 1 : 0].Read(start, first + target.Length - start);
        TensorMemory.CopyOut(values, first - start, target);
    }

    public override void Set(bool isSecond, long first, ReadOnlySpan<float> source) => _moments[isSecond ? 1 : 0].Set(first, source);

    public override void FinishSet()
    {
        foreach (Moment moment in _moments)
            moment.FinishSet();
    }

    public override void Dispose()
    {
        _window?.Dispose();
        foreach (Moment moment in _moments)
            moment.Dispose();
    }

    private sealed class Moment(BlockQuantization quantization, long count, LedgerTensor codes, LedgerTensor scales) : IDisposable
    {
        // Blocks of which some values are set and some are not yet.
        private readonly Dictionary<long, (float[] Values, int Count)> _parts = [];

        // Whole blocks from a block's beginning on, in the caller's dispose scope.
        public Tensor Read(long first, long length)
        {
            long blocks = MomentBlocks.RoundUp(length) / MomentBlocks.Size;
            Tensor values = empty([blocks * MomentBlocks.Size], ScalarType.Float32, codes.Values.device);
            using var scope = NewDisposeScope();
            quantization.Dequantize(codes.Values.narrow(0, first, blocks * MomentBlocks.Size), scales.Values.narrow(0, first / MomentBlocks.Size, blocks), values);
            return values;
        }

        public void Write(long first, Tensor values)
        {
            using var scope = NewDisposeScope();
            long whole = MomentBlocks.RoundUp(values.numel());
            Tensor padded = whole == values.numel() ? values.contiguous() : nn.functional.pad(values, [0, whole - values.numel()]);
            quantization.Quantize(padded, codes.Values.narrow(0, first, whole), scales.Values.narrow(0, first / MomentBlocks.Size, whole / MomentBlocks.Size));
        }

        public void Set(long first, ReadOnlySpan<float> source)
        {
            for (int done = 0; done < source.Length;)
            {
                (long block, long within) = Math.DivRem(first + done, MomentBlocks.Size);
                int blocks = within == 0 ? (source.Length - done) / MomentBlocks.Size : 0;
                if (blocks > 0)
                {
                    using var scope = NewDisposeScope();
                    Write(first + done, tensor(source.Slice(done, blocks * MomentBlocks.Size).ToArray(), device: codes.Values.device));
                    done += blocks * MomentBlocks.Size;
                    continue;
                }

                int taken = (int)Math.Min(source.Length - done, MomentBlocks.Size - within);
                (float[] values, int known) = _parts.TryGetValue(block, out (float[] Values, int Count) part) ? part : (new float[MomentBlocks.Size], 0);
                source.Slice(done, taken).CopyTo(values.AsSpan((int)within));
                _parts[block] = (values, known + taken);
                done += taken;
                if (known + taken == Math.Min(MomentBlocks.Size, count - (block * MomentBlocks.Size)))
                    Finish(block);
            }
        }

        public void FinishSet()
        {
            foreach (long block in _parts.Keys.ToArray())
                Finish(block);
        }

        public void Dispose()
        {
            codes.Dispose();
            scales.Dispose();
        }

        private void Finish(long block)
        {
            using var scope = NewDisposeScope();
            Write(block * MomentBlocks.Size, tensor(_parts[block].Values, device: codes.Values.device));
            _parts.Remove(block);
        }
    }
}
