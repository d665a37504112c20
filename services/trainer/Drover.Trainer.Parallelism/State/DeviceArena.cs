using Drover.Errors;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// Device memory with a budget, and the rule by which pieces of state move in and out of it (PatrickStar: Fang et al., 2021; Gemini of
/// ColossalAI). The ledger asks before it counts anything on the device, be it a piece, a gathered weight, a whole gradient or
/// activations: so the budget is never exceeded, neither on a GPU nor where the device is a part of main memory that is counted apart.
/// <para>
/// Static: a fixed part of the chunks lives in host memory and nothing moves of its own. Auto: the first step leaves everything
/// in host memory and writes a <see cref="UseRecord"/>. From then on a used piece stays on the device where by the record there
/// will be room for it until its next use. Optimizer state, which is used once a step and is the largest, gets only what is left at
/// the peak of a step when all weights and gradients are there (PatrickStar's margin). Where the record promised too much, the
/// piece whose next use is farthest goes.
/// </para>
/// A choice depends on the record and on the bytes of this rank, never on time. No collective depends on it: ranks may differ.
/// </summary>
internal sealed class DeviceArena
{
    private readonly GeminiSpec _spec;
    private readonly MemoryLedger _ledger;
    private readonly UseRecord _record = new();
    private readonly List<GeminiPiece> _pieces = [];
    private readonly long[,] _moved = new long[3, 2];
    private readonly long[] _bytes = new long[3];
    private readonly long[] _placed = new long[3];
    private readonly long[] _hosted = new long[3];
    private long _evictions;
    private bool _isInStep;

    public DeviceArena(GeminiSpec spec, MemoryLedger ledger)
    {
        (_spec, _ledger) = (spec, ledger);
        ledger.Arena = this;
    }

    public MemoryLedger Ledger => _ledger;

    public GeminiReport Report => new(_spec.DeviceBudgetBytes, _record.PeakOfOthers, _evictions, [.. Enumerable.Range(0, 3).Select(k => new PieceTraffic((MemoryClass)k, _moved[k, 0], _moved[k, 1]))]);

    private bool IsAuto => _spec.Policy == GeminiPolicy.Auto;

    // What is on the device beside pieces.
    private long OtherBytes => OnDevice(MemoryClass.Activations) + OnDevice(MemoryClass.Buffers);

    /// <summary>
    /// Where the next piece of a kind lives: of the policy static the given fraction of values lives in host memory, spread evenly over
    /// the chunks, so that no stretch of a step has all of the traffic.
    /// </summary>
    public MemoryPlace HomeOf(MemoryClass kind, long values)
    {
        if (IsAuto)
            return MemoryPlace.Host;
        int k = (int)kind;
        double fraction = kind == MemoryClass.Weights ? _spec.OffloadWeightsFraction : _spec.OffloadOptimizerFraction;
        _placed[k] += values;
        if (_hosted[k] + values > fraction * _placed[k])
            return MemoryPlace.Device;
        _hosted[k] += values;
        return MemoryPlace.Host;
    }

    /// <summary>Enters a piece; it has no memory yet.</summary>
    public GeminiPiece Enter(MemoryClass kind, long values, ScalarType type, MemoryPlace home)
    {
        _pieces.Add(new GeminiPiece(_pieces.Count, kind, values, type, home));
        _bytes[(int)kind] += _pieces[^1].Bytes;
        return _pieces[^1];
    }

    public void BeginStep()
    {
        _record.BeginStep();
        _isInStep = true;
    }

    /// <summary>What follows until the next step (a checkpoint, new weights) is not of the record.</summary>
    /// <param name="isWhole">The step did not leave out its update.</param>
    public void EndStep(bool isWhole = true)
    {
        _isInStep = false;
        if (!isWhole)
            _record.Forget();
    }

    /// <summary>A piece is about to be read or written, here or there: it gets memory if it has none, and moves to the device if it may stay.</summary>
    /// <param name="piece">Which.</param>
    /// <param name="overwrites">Its values will be replaced: they need not come along.</param>
    public void Use(GeminiPiece piece, bool overwrites = false)
    {
        Record(piece);
        if (!piece.IsOnDevice && MayMove(piece))
            Place(piece, MemoryPlace.Device, overwrites);
        else if (!piece.IsHere)
            Place(piece, piece.Home, overwrites: true);
    }

    /// <summary>A piece is about to be used in a place that is given: it goes there.</summary>
    public void UseIn(MemoryPlace place, GeminiPiece piece)
    {
        Record(piece);
        Place(piece, place, overwrites: false);
    }

    private void Record(GeminiPiece piece)
    {
        if (_isInStep)
            _record.Use(piece.Number, OtherBytes);
    }

    private void Place(GeminiPiece piece, MemoryPlace place, bool overwrites)
    {
        if (piece.IsHere && piece.Place == place)
            return;
        bool moves = piece.IsHere && !overwrites;
        if (moves)
            CountCopy(piece.Kind, place, piece.Bytes);
        piece.Lie(place, moves, _ledger);
    }

    /// <summary>Copies values, and counts them where they cross between device and host.</summary>
    public void Copy(MemoryClass kind, Tensor from, MemoryPlace fromPlace, Tensor to, MemoryPlace toPlace, bool adds = false)
    {
        if (fromPlace != toPlace)
            CountCopy(kind, toPlace, Math.Min(from.numel() * from.element_size(), to.numel() * to.element_size()));
        if (!adds)
        {
            TensorMemory.Copy(from, to);
            return;
        }

        if (from.device_type == to.device_type)
        {
            to.add_(from, HeldScalars.One);
            return;
        }

        using Tensor near = empty_like(from, device: to.device);
        TensorMemory.Copy(from, near);
        to.add_(near, HeldScalars.One);
    }

    /// <summary>Makes room for bytes that are about to be taken on the device.</summary>
    /// <exception cref="DroverException">ResourceExhausted: there is no more to evict.</exception>
    public void MakeRoom(MemoryClass memoryClass, long bytes)
    {
        if (!TryMakeRoom(memoryClass, bytes))
            throw new DroverException(FailureCode.ResourceExhausted, "DEVICE_BUDGET", $"Gemini needs {bytes} bytes of device memory for {memoryClass.ToString().ToLowerInvariant()}; {_ledger.DeviceBytes} of the {_spec.DeviceBudgetBytes} bytes of gemini.device_budget_bytes are in use, and no chunk is left that could go to host memory. Raise gemini.device_budget_bytes to {_ledger.DeviceBytes + bytes} or more, {(IsAuto ? "" : "raise the offload fractions or use the policy auto, ")}turn recompute on, or make micro_batch_rows smaller.");
    }

    /// <summary>As <see cref="MakeRoom"/> for bytes that are only guessed: makes what room there is.</summary>
    public bool TryMakeRoom(MemoryClass memoryClass, long bytes)
    {
        if (_isInStep && memoryClass is MemoryClass.Activations or MemoryClass.Buffers)
            _record.Saw(OtherBytes + bytes);
        while (_spec.DeviceBudgetBytes > 0 && _ledger.DeviceBytes + bytes > _spec.DeviceBudgetBytes)
        {
            if (!IsAuto || _record.Farthest(_pieces.Where(p => p.IsOnDevice && !p.IsPinned)) is not { } victim)
                return false;
            _evictions++;
            Place(victim, MemoryPlace.Host, overwrites: false);
        }

        return true;
    }

    // To the device where by the record it may stay until its next use; optimizer state where it may stay even when all weights and
    // gradients are there. Part of a gradient that lies in host memory stays: the way there and back costs more than adding to it.
    private bool MayMove(GeminiPiece piece)
    {
        if (!IsAuto || !_isInStep || !_record.IsComplete || (piece.Kind == MemoryClass.Gradients && piece.IsHere))
            return false;
        long beside = piece.Kind == MemoryClass.Optimizer
            ? _bytes[(int)MemoryClass.Weights] + _bytes[(int)MemoryClass.Gradients] + OnDevice(MemoryClass.Optimizer) + _record.PeakOfOthers
            : _ledger.DeviceBytes - OtherBytes + _record.PeakUntilUse(piece.Number);
        return beside + piece.Bytes <= _spec.DeviceBudgetBytes;
    }

    private long OnDevice(MemoryClass memoryClass) => _ledger.BytesOf(memoryClass, MemoryPlace.Device);

    private void CountCopy(MemoryClass kind, MemoryPlace to, long bytes) => _moved[(int)kind, (int)to] += bytes;
}
