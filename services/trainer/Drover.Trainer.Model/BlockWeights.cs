using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// The weights of one block, in one flat tensor per role: those with weight decay first, then those without. One flat
/// gradient is one reduction; one flat weight is one optimizer call.
/// </summary>
public sealed class BlockWeights : IDisposable
{
    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private readonly Tensor _compute;

    /// <summary>Allocates the compute weights, zero.</summary>
    /// <param name="weights">Hugging Face names and shapes.</param>
    /// <param name="precision">Of the compute weights.</param>
    public BlockWeights(IReadOnlyList<(string Name, long[] Shape)> weights, Precision precision)
    {
        ScalarType type = precision == Precision.Bf16 ? ScalarType.BFloat16 : ScalarType.Float32;
        (string Name, long[] Shape)[] ordered = [.. weights.OrderByDescending(w => HasDecay(w.Shape))];
        Count = ordered.Sum(w => CountOf(w.Shape));
        DecayCount = ordered.Where(w => HasDecay(w.Shape)).Sum(w => CountOf(w.Shape));
        Names = [.. weights.Select(w => w.Name)];
        _compute = zeros([Count], type).DetachFromDisposeScope();
        long offset = 0;
        foreach ((string name, long[] shape) in ordered)
        {
            long count = CountOf(shape);
            Tensor leaf = _compute.narrow(0, offset, count).view(shape).detach().DetachFromDisposeScope();
            _entries[name] = new Entry(leaf, offset, count, shape);
            offset += count;
        }
    }

    /// <summary>Number of values.</summary>
    public long Count { get; }

    /// <summary>How many of them, from the start, have weight decay: matrices do, norms and biases do not.</summary>
    public long DecayCount { get; }

    /// <summary>The names, in the order of the model.</summary>
    public IReadOnlyList<string> Names { get; }

    /// <summary>The flat compute weights, [Count].</summary>
    public Tensor Flat => _compute;

    /// <summary>The weight, a leaf of autograd that shares memory with <see cref="Flat"/>.</summary>
    public Tensor this[string name] => _entries[name].Leaf;

    /// <summary>The weight, or null when the model has none of this name (biases).</summary>
    public Tensor? Find(string name) => _entries.TryGetValue(name, out Entry? entry) ? entry.Leaf : null;

    /// <summary>Where a weight lies in the flat tensors.</summary>
    public (long Offset, long Count, long[] Shape) PlaceOf(string name)
    {
        Entry entry = _entries[name];
        return (entry.Offset, entry.Count, entry.Shape);
    }

    /// <summary>Whether autograd shall give gradients to the weights.</summary>
    public void RequireGradients(bool wanted)
    {
        foreach (Entry entry in _entries.Values)
            entry.Leaf.requires_grad_(wanted);
    }

    /// <summary>Adds the gradients that autograd left on the weights to a flat fp32 gradient, and takes them away.</summary>
    public void MoveGradientsTo(Tensor flatGradient)
    {
        using var scope = NewDisposeScope();
        foreach (Entry entry in _entries.Values)
        {
            if (entry.Leaf.grad is not { } gradient)
                continue;
            flatGradient.narrow(0, entry.Offset, entry.Count).add_(gradient.view(-1));
            entry.Leaf.grad = null;
        }
    }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (Entry entry in _entries.Values)
            entry.Leaf.Dispose();
        _compute.Dispose();
    }

    private static bool HasDecay(long[] shape) => shape.Length > 1;

    private static long CountOf(long[] shape) => shape.Aggregate(1L, (n, d) => checked(n * d));

    private sealed record Entry(Tensor Leaf, long Offset, long Count, long[] Shape);
}
