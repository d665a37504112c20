using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// A stretch of a block's flat compute weights on each rank of the data axis, padded to divide and cut into chunks: pieces that
/// lie in device or host memory, each by itself. The whole is gathered to the device for each use, a block ahead, straight from where they lie.
/// </summary>
internal sealed class WeightChunks(BlockWeights weights, ScalarType type, ICollectives data, DeviceArena arena) : IDisposable
{
    // Chunks end where the vector code of an update does: its scalar tail rounds otherwise, and a cut would show in the last bit.
    private const long Width = 64;
    private readonly List<WeightChunk> _chunks = [];
    private LedgerTensor? _whole;
    private ICollectiveHandle? _gather;
    private int _uses;

    /// <summary>Values of a stretch, with its padding.</summary>
    public long Shard { get; } = (weights.Count + data.WorldSize - 1) / data.WorldSize;

    /// <summary>Where this rank's lies in the flat weights. The last rank's ends with padding, which belongs to no weight.</summary>
    public (long Start, long Count) Owned
    {
        get
        {
            long start = Math.Min(data.Rank * Shard, weights.Count);
            return (start, Math.Min(Shard, weights.Count - start));
        }
    }

    /// <summary>The chunks that a stretch is cut into.</summary>
    /// <param name="chunkValues">Of a chunk, over all ranks.</param>
    public IEnumerable<(long First, long Count)> Cut(long chunkValues)
    {
        long each = Math.Max(1, ((chunkValues / data.WorldSize) + Width - 1) / Width) * Width;
        for (long first = 0; first < Shard; first += each)
            yield return (first, Math.Min(each, Shard - first));
    }

    /// <summary>Adds the next chunk.</summary>
    public GeminiPiece Add(long first, long count)
    {
        GeminiPiece piece = arena.Enter(MemoryClass.Weights, count, type, arena.HomeOf(MemoryClass.Weights, count));
        arena.Use(piece);
        _chunks.Add(new WeightChunk(first, count, piece));
        return piece;
    }

    /// <summary>Starts to gather.</summary>
    public void Prefetch()
    {
        if (_whole is not null)
            return;
        _whole = arena.Ledger.New(MemoryClass.Buffers, MemoryPlace.Device, Shard * data.WorldSize, type);
        using var scope = NewDisposeScope();
        Tensor own = _whole.Values.narrow(0, data.Rank * Shard, Shard);
        foreach (WeightChunk chunk in _chunks)
        {
            arena.Use(chunk.Piece);
            arena.Copy(MemoryClass.Weights, chunk.Piece.Values, chunk.Piece.Place, own.narrow(0, chunk.First, chunk.Count), MemoryPlace.Device);
        }

        _gather = data.StartAllGather(TensorMemory.AddressOf(own), TensorMemory.AddressOf(_whole.Values), Shard * own.element_size());
    }

    /// <summary>Brings the whole here. Calls may nest.</summary>
    public void Acquire()
    {
        Prefetch();
        _gather?.Wait();
        _gather = null;
        if (_uses++ == 0)
            weights.Attach(_whole!.Values);
    }

    /// <summary>The whole is not needed until the next <see cref="Acquire"/>.</summary>
    public void Release()
    {
        if (--_uses > 0)
            return;
        weights.Detach();
        _whole!.Dispose();
        _whole = null;
    }

    /// <summary>Sets values of this rank's stretch, from <paramref name="first"/> (counted in it) on.</summary>
    public void Set(long first, Tensor source)
    {
        foreach (WeightChunk chunk in _chunks)
        {
            long from = Math.Max(first, chunk.First), to = Math.Min(first + source.numel(), chunk.First + chunk.Count);
            if (from >= to)
                continue;
            arena.Use(chunk.Piece);
            chunk.Piece.Values.narrow(0, from - chunk.First, to - from).copy_(source.narrow(0, from - first, to - from));
        }
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _gather?.Wait();
        weights.Dispose();
        _whole?.Dispose();
        foreach (WeightChunk chunk in _chunks)
            chunk.Piece.Dispose();
    }

    private sealed record WeightChunk(long First, long Count, GeminiPiece Piece);
}
