using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// What moves: this rank's shard of a chunk's weights, gradient or optimizer state. Lies in one place at a time, or nowhere while it
/// holds nothing (a gradient between the update and the next backward pass). <see cref="DeviceArena"/> alone moves it.
/// </summary>
/// <param name="number">Order of creation, the same on every rank of the data axis.</param>
/// <param name="kind">Weights, gradients or optimizer.</param>
/// <param name="values">How many.</param>
/// <param name="type">Of a value.</param>
/// <param name="home">Where the policy static keeps it, and where the policy auto first puts it.</param>
internal sealed class GeminiPiece(int number, MemoryClass kind, long values, ScalarType type, MemoryPlace home) : IDisposable
{
    public int Number => number;

    public MemoryClass Kind => kind;

    public MemoryPlace Home { get; } = home;

    public long Bytes { get; } = values * MemoryLedger.SizeOf(type);

    /// <summary>Must stay where it is until this is false again.</summary>
    public bool IsPinned { get; set; }

    /// <summary>Has values.</summary>
    public bool IsHere => Memory is not null;

    public MemoryPlace Place { get; private set; } = home;

    public bool IsOnDevice => IsHere && Place == MemoryPlace.Device;

    public Tensor Values => Memory?.Values ?? throw new InvalidOperationException($"Piece {number} ({kind}) holds nothing.");

    private LedgerTensor? Memory { get; set; }

    /// <summary>Has memory in this place from now on, with the values it had before where <paramref name="keeps"/> says so.</summary>
    public void Lie(MemoryPlace place, bool keeps, MemoryLedger ledger)
    {
        LedgerTensor memory = ledger.New(kind, place, values, type);
        if (keeps)
            TensorMemory.Copy(Values, memory.Values);
        Memory?.Dispose();
        (Memory, Place) = (memory, place);
    }

    /// <inheritdoc />
    public void Dispose()
    {
        Memory?.Dispose();
        Memory = null;
    }
}
