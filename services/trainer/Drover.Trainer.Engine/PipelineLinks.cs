using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>Carries activations to the next stage of the pipeline and gradients to the one before. Sends do not wait.</summary>
internal sealed class PipelineLinks(RankGrid grid, int parts, Device device)
{
    private readonly Queue<(ICollectiveHandle Handle, Tensor Tensor)> _sent = new();

    private int Ranks => grid.Pipeline.WorldSize;

    private int Rank => grid.Pipeline.Rank;

    /// <summary>Sends a part's output on; the tensor is this class's from then on.</summary>
    public void SendForward(Tensor output, int microBatch, int part) =>
        Send(output, (Rank + 1) % Ranks, TagOf(microBatch, Rank == Ranks - 1 ? part + 1 : part, isForward: true));

    /// <summary>Sends the gradient of a part's input back; the tensor is this class's from then on.</summary>
    public void SendBackward(Tensor gradient, int microBatch, int part) =>
        Send(gradient, (Rank - 1 + Ranks) % Ranks, TagOf(microBatch, Rank == 0 ? part - 1 : part, isForward: false));

    /// <summary>A part's input, from the stage before.</summary>
    public Tensor ReceiveForward(long[] shape, ScalarType type, int microBatch, int part) =>
        Receive(shape, type, (Rank - 1 + Ranks) % Ranks, TagOf(microBatch, part, isForward: true));

    /// <summary>The gradient of a part's output, from the stage after.</summary>
    public Tensor ReceiveBackward(long[] shape, ScalarType type, int microBatch, int part) =>
        Receive(shape, type, (Rank + 1) % Ranks, TagOf(microBatch, part, isForward: false));

    /// <summary>Returns when everything sent has left.</summary>
    public void Finish()
    {
        while (_sent.TryDequeue(out (ICollectiveHandle Handle, Tensor Tensor) sent))
        {
            sent.Handle.Wait();
            sent.Tensor.Dispose();
        }
    }

    // Of the receiver: each of its parts has its own tags.
    private int TagOf(int microBatch, int part, bool isForward) => (((microBatch * parts) + part) * 2) + (isForward ? 0 : 1);

    private void Send(Tensor tensor, int to, int tag)
    {
        Tensor whole = tensor.contiguous().DetachFromDisposeScope();
        if (!ReferenceEquals(whole, tensor))
            tensor.Dispose();
        _sent.Enqueue((grid.Pipeline.StartSend(TensorMemory.AddressOf(whole), whole.numel() * whole.element_size(), to, tag), whole));
        // A stage sends in the order in which the other receives: the oldest is gone long before the pipeline is this full.
        while (_sent.Count > 2 * Ranks)
        {
            (ICollectiveHandle handle, Tensor sent) = _sent.Dequeue();
            handle.Wait();
            sent.Dispose();
        }
    }

    private Tensor Receive(long[] shape, ScalarType type, int from, int tag)
    {
        Tensor received = empty(shape, type, device).DetachFromDisposeScope();
        grid.Pipeline.Receive(TensorMemory.AddressOf(received), received.numel() * received.element_size(), from, tag);
        return received;
    }
}
