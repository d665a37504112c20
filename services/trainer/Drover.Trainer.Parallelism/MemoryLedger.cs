using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>Bytes of one class in one place.</summary>
/// <param name="Class">What for.</param>
/// <param name="Place">Where.</param>
/// <param name="Bytes">Now.</param>
/// <param name="PeakBytes">At most so far.</param>
public sealed record MemoryLine(MemoryClass Class, MemoryPlace Place, long Bytes, long PeakBytes);

/// <summary>Counts what a rank allocates, by class and place. Not thread safe: the rank's own thread keeps it.</summary>
/// <param name="device">What <see cref="MemoryPlace.Device"/> is; null for the CPU, whose memory both places are.</param>
public sealed class MemoryLedger(Device? device = null)
{
    private readonly Device _device = device ?? CPU;
    private readonly long[,] _bytes = new long[5, 2];
    private readonly long[,] _peaks = new long[5, 2];

    /// <summary>Bytes in device memory now.</summary>
    public long DeviceBytes => Total(_bytes, MemoryPlace.Device);

    /// <summary>Most bytes in device memory at any time.</summary>
    public long DevicePeakBytes { get; private set; }

    /// <summary>Asked before device memory is taken, where there is a budget.</summary>
    internal DeviceArena? Arena { get; set; }

    /// <summary>Every class and place that was ever used.</summary>
    public IReadOnlyList<MemoryLine> Lines =>
        [.. from c in Enum.GetValues<MemoryClass>() from p in Enum.GetValues<MemoryPlace>() where _peaks[(int)c, (int)p] > 0 select new MemoryLine(c, p, _bytes[(int)c, (int)p], _peaks[(int)c, (int)p])];

    /// <summary>Bytes of a class, in both places.</summary>
    public long PeakOf(MemoryClass memoryClass) => _peaks[(int)memoryClass, 0] + _peaks[(int)memoryClass, 1];

    /// <summary>Bytes of a class in a place.</summary>
    public long BytesOf(MemoryClass memoryClass, MemoryPlace place) => _bytes[(int)memoryClass, (int)place];

    /// <summary>Says that about so many bytes of activations will soon be kept on the device, so that there is room when they are.</summary>
    public void Expect(long bytes) => Arena?.TryMakeRoom(MemoryClass.Activations, bytes);

    /// <summary>Bytes of a value of a type that state is kept in.</summary>
    public static long SizeOf(ScalarType type) => type switch
    {
        ScalarType.BFloat16 or ScalarType.Float16 => 2,
        ScalarType.Float32 => 4,
        ScalarType.Byte => 1,
        _ => throw new ArgumentException($"Training state is not kept in {type}.", nameof(type)),
    };

    /// <summary>A flat tensor of zeros that is counted until it is disposed.</summary>
    public LedgerTensor New(MemoryClass memoryClass, MemoryPlace place, long count, ScalarType type)
    {
        if (place == MemoryPlace.Device)
            Arena?.MakeRoom(memoryClass, count * SizeOf(type));
        Tensor values = place == MemoryPlace.Device ? zeros([count], type, _device) : TensorMemory.HostMemory(count, type, _device).zero_();
        return new LedgerTensor(this, memoryClass, place, values.DetachFromDisposeScope());
    }

    /// <summary>Counts bytes that were allocated (or, negative, given back) elsewhere.</summary>
    public void Count(MemoryClass memoryClass, MemoryPlace place, long bytes)
    {
        if (place == MemoryPlace.Device && bytes > 0)
            Arena?.MakeRoom(memoryClass, bytes);
        long now = _bytes[(int)memoryClass, (int)place] += bytes;
        _peaks[(int)memoryClass, (int)place] = Math.Max(_peaks[(int)memoryClass, (int)place], now);
        DevicePeakBytes = Math.Max(DevicePeakBytes, DeviceBytes);
    }

    private static long Total(long[,] table, MemoryPlace place) => Enumerable.Range(0, 5).Sum(c => table[c, (int)place]);
}

/// <summary>A flat tensor that a ledger counts.</summary>
public sealed class LedgerTensor : IDisposable
{
    private readonly MemoryLedger _ledger;
    private readonly MemoryClass _class;
    private readonly MemoryPlace _place;
    private readonly long _bytes;
    private bool _disposed;

    internal LedgerTensor(MemoryLedger ledger, MemoryClass memoryClass, MemoryPlace place, Tensor values)
    {
        (_ledger, _class, _place, Values) = (ledger, memoryClass, place, values);
        _bytes = values.numel() * values.element_size();
        ledger.Count(memoryClass, place, _bytes);
    }

    /// <summary>The values.</summary>
    public Tensor Values { get; }

    /// <inheritdoc />
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        Values.Dispose();
        _ledger.Count(_class, _place, -_bytes);
    }
}
