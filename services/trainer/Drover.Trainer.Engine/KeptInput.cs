using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>
/// The input of a layer between its forward and its backward pass, counted in the ledger: where the model computes, or, offloaded, in host
/// memory (pinned, where the model computes elsewhere, so that copies overlap with computation).
/// </summary>
internal sealed class KeptInput : IDisposable
{
    private readonly MemoryLedger _ledger;
    private readonly Device _device;
    private Tensor? _here;
    private Tensor? _host;

    /// <summary>Takes the input over.</summary>
    public KeptInput(Tensor input, bool offload, MemoryLedger ledger)
    {
        (_ledger, _device) = (ledger, input.device);
        if (!offload)
        {
            _here = input;
            Count(MemoryPlace.Device, input, 1);
            return;
        }

        // A copy on CPUs too: so that what is counted is what happens.
        using var scope = NewDisposeScope();
        _host = TensorMemory.HostMemory(input.numel(), input.dtype, _device).view(input.shape).DetachFromDisposeScope();
        TensorMemory.Copy(input, _host, isForHost: false);
        Count(MemoryPlace.Host, _host, 1);
        input.Dispose();
    }

    /// <summary>The input, brought back where the model computes.</summary>
    public Tensor Fetch()
    {
        if (_here is not null)
            return _here;
        using var scope = NewDisposeScope();
        _here = empty(_host!.shape, _host.dtype, _device).copy_(_host, true).DetachFromDisposeScope();
        Count(MemoryPlace.Device, _here, 1);
        return _here;
    }

    /// <inheritdoc />
    public void Dispose()
    {
        if (_here is not null)
            Count(MemoryPlace.Device, _here, -1);
        if (_host is not null)
            Count(MemoryPlace.Host, _host, -1);
        _here?.Dispose();
        _host?.Dispose();
    }

    private void Count(MemoryPlace place, Tensor tensor, int sign) => _ledger.Count(MemoryClass.Activations, place, sign * tensor.numel() * tensor.element_size());
}
