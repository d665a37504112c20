using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// Sequence parallelism by ring (Liu, Zaharia and Abbeel, 2023): each rank keeps the queries of its tokens; keys and values go round,
/// on their way to the next rank while this one computes with them. Partial results are put together by their softmax normalizers,
/// in fp32. In the backward pass the gradients of keys and values go round with them and end where they belong.
/// </summary>
internal sealed class RingAttention(ICollectives sequence) : IAttention
{
    private const int Forwards = 1;
    private const int Backwards = 2;

    public (Tensor Output, IDisposable? Kept) Forward(Tensor q, Tensor k, Tensor v, VisibleKeys visible)
    {
        using var scope = NewDisposeScope();
        Tensor output = zeros_like(q, ScalarType.Float32);
        using TorchSharp.Scalar none = float.MinValue;
        Tensor normalizer = full([q.shape[0], q.shape[1], 1], none, ScalarType.Float32, q.device);
        Tensor pair = stack([k, v]);
        for (int turn = 0; turn < sequence.WorldSize; turn++)
        {
            using Travel? travel = turn + 1 < sequence.WorldSize ? new Travel(sequence, pair, Forwards) : null;
            Mix(q, pair, SourceOf(turn), output, normalizer, visible);
            if (travel is null)
                continue;
            Tensor next = travel.Wait();
            pair.Dispose();
            pair = next;
        }

        return (output.to(q.dtype).MoveToOuterDisposeScope(), new Normalizer(normalizer));
    }

    public (Tensor Q, Tensor K, Tensor V) Backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor output, IDisposable? kept, VisibleKeys visible)
    {
        using var scope = NewDisposeScope();
        Tensor normalizer = ((Normalizer)kept!).Values;
        Tensor delta = gradient.to(ScalarType.Float32).mul(output).sum(-1, keepdim: true);
        double scale = 1 / Math.Sqrt(q.shape[2]);
        Tensor dq = zeros_like(q, ScalarType.Float32), pair = stack([k, v]), dpair = zeros_like(pair, ScalarType.Float32);
        for (int turn = 0; turn < sequence.WorldSize; turn++)
        {
            bool isLast = turn + 1 == sequence.WorldSize;
            using Travel? travel = isLast ? null : new Travel(sequence, pair, Forwards);
            MixBackward(gradient, q, pair, SourceOf(turn), delta, normalizer, dq, dpair, visible);
            // The last hop brings the gradients home.
            using var home = new Travel(sequence, dpair, Backwards);
            Tensor dnext = home.Wait();
            dpair.Dispose();
            dpair = dnext;
            if (travel is null)
                continue;
            Tensor next = travel.Wait();
            pair.Dispose();
            pair = next;
        }

        using TorchSharp.Scalar held = scale;
        return (dq.mul_(held).MoveToOuterDisposeScope(), dpair[0].mul(held).MoveToOuterDisposeScope(), dpair[1].clone().MoveToOuterDisposeScope());
    }

    // Whose keys are here at a turn.
    private int SourceOf(int turn) => (sequence.Rank - turn + sequence.WorldSize) % sequence.WorldSize;

    private IReadOnlyList<AttentionTile> Tiles(long tokens, int source, VisibleKeys visible) =>
        visible.TilesOf((sequence.Rank * (int)tokens, (int)tokens), (source * (int)tokens, (int)tokens));

    private void Mix(Tensor q, Tensor pair, int source, Tensor output, Tensor normalizer, VisibleKeys visible)
    {
        using var scope = NewDisposeScope();
        Tensor keys = TiledAttention.ForEveryQueryHead(pair[0], q), values = TiledAttention.ForEveryQueryHead(pair[1], q);
        double scale = 1 / Math.Sqrt(q.shape[2]);
        foreach (AttentionTile tile in Tiles(q.shape[1], source, visible))
        {
            using var inner = NewDisposeScope();
            (Tensor part, Tensor partNormalizer) = AtenScripts.AttendPartly(Queries(q, tile), Keys(keys, tile, source), Keys(values, tile, source), visible.MaskOf(tile), scale);
            Tensor before = Queries(normalizer, tile), after = logaddexp(before, partNormalizer);
            Tensor sum = Queries(output, tile);
            sum.mul_((before - after).exp()).add_(part.mul_((partNormalizer - after).exp()), HeldScalars.One);
            before.copy_(after);
        }
    }

    private void MixBackward(Tensor gradient, Tensor q, Tensor pair, int source, Tensor delta, Tensor normalizer, Tensor dq, Tensor dpair, VisibleKeys visible)
    {
        using var scope = NewDisposeScope();
        Tensor k = pair[0];
        Tensor keys = TiledAttention.ForEveryQueryHead(k, q), values = TiledAttention.ForEveryQueryHead(pair[1], q);
        Tensor dk = zeros_like(keys, ScalarType.Float32), dv = zeros_like(values, ScalarType.Float32);
        double scale = 1 / Math.Sqrt(q.shape[2]);
        foreach (AttentionTile tile in Tiles(q.shape[1], source, visible))
        {
            using var inner = NewDisposeScope();
            (Tensor tileQ, Tensor tileK, Tensor tileV) = AtenScripts.AttendPartlyBackward(
                Queries(q, tile), Keys(keys, tile, source), Keys(values, tile, source), Queries(gradient, tile), Queries(delta, tile), Queries(normalizer, tile), visible.MaskOf(tile), scale);
            Queries(dq, tile).add_(tileQ, HeldScalars.One);
            Keys(dk, tile, source).add_(tileK, HeldScalars.One);
            Keys(dv, tile, source).add_(tileV, HeldScalars.One);
        }

        dpair[0].add_(TiledAttention.OfKeyHeads(dk, k), HeldScalars.One);
        dpair[1].add_(TiledAttention.OfKeyHeads(dv, k), HeldScalars.One);
    }

    // Tiles count tokens of the whole row; the tensors hold a stretch of them.
    private Tensor Queries(Tensor t, AttentionTile tile) => t.narrow(1, tile.QueryStart - (sequence.Rank * t.shape[1]), tile.QueryCount);

    private static Tensor Keys(Tensor t, AttentionTile tile, int source) => t.narrow(1, tile.KeyStart - (source * t.shape[1]), tile.KeyCount);

    /// <summary>A tensor on its way to the next rank, and the same of the one before on its way here.</summary>
    private sealed class Travel : IDisposable
    {
        private readonly Tensor _received;
        private readonly ICollectiveHandle _send;
        private readonly ICollectiveHandle _receive;

        public Travel(ICollectives group, Tensor tensor, int tag)
        {
            _received = empty_like(tensor);
            long bytes = tensor.numel() * tensor.element_size();
            int next = (group.Rank + 1) % group.WorldSize, previous = (group.Rank - 1 + group.WorldSize) % group.WorldSize;
            _receive = group.StartReceive(TensorMemory.AddressOf(_received), bytes, previous, tag);
            _send = group.StartSend(TensorMemory.AddressOf(tensor), bytes, next, tag);
        }

        public Tensor Wait()
        {
            _send.Wait();
            _receive.Wait();
            return _received;
        }

        public void Dispose()
        {
            // The tensor is the caller's; this ends what is in flight.
            _send.Wait();
            _receive.Wait();
        }
    }

    private sealed class Normalizer(Tensor values) : IDisposable
    {
        public Tensor Values { get; } = values.DetachFromDisposeScope();

        public void Dispose() => Values.Dispose();
    }
}
