using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Where the weights of one block lie in one flat tensor, and that tensor. What ranks share out comes first, then what every rank holds
/// with a part of its gradient, then the rest; of each, matrices (with weight decay) come before norms and biases. One flat gradient is one reduction; one flat weight is one
/// optimizer call. The flat tensor may come and go (weights that are gathered for each use): only then are the views valid.
/// Weights that are held for compute alone lie in a flat tensor of their own, <see cref="Base"/>, and are found by name all the same.
/// </summary>
public sealed class BlockWeights : IDisposable
{
    private readonly Dictionary<string, Place> _places = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Tensor> _views = new(StringComparer.Ordinal);

    /// <summary>Lays the weights out; allocates nothing.</summary>
    public BlockWeights(IReadOnlyList<LocalWeight> weights)
    {
        Weights = [.. weights.Where(w => !w.IsBase)];
        if (weights.Any(w => w.IsBase))
            Base = new BlockWeights([.. weights.Where(w => w.IsBase).Select(w => w with { IsBase = false })]);
        LocalWeight[] ordered = [.. Weights.OrderByDescending(w => w.IsCut).ThenByDescending(w => w.HasPartialGradient).ThenByDescending(w => w.HasDecay)];
        long offset = 0;
        foreach (LocalWeight weight in ordered)
        {
            _places[weight.Name] = new Place(offset, weight);
            offset += weight.Count;
        }

        Count = offset;
        UncutStart = ordered.Where(w => w.IsCut).Sum(w => w.Count);
        Runs = [.. RunsOf(ordered)];
        PartialCount = ordered.Where(w => w.HasPartialGradient).Sum(w => w.Count);
    }

    /// <summary>The weights in the order of the model, but those of <see cref="Base"/>.</summary>
    public IReadOnlyList<LocalWeight> Weights { get; }

    /// <summary>Number of values.</summary>
    public long Count { get; }

    /// <summary>The frozen weights that are held for compute alone; null where there are none.</summary>
    public BlockWeights? Base { get; }

    /// <summary>From here on every rank of the cut holds the same values; 0 where nothing is cut.</summary>
    public long UncutStart { get; }

    /// <summary>The weights in stretches that are updated alike, one after the other: one or two where all learn equally fast.</summary>
    public IReadOnlyList<UpdateRun> Runs { get; }

    /// <summary>No weight of the block is trained.</summary>
    public bool IsFrozen => Runs.All(r => r.RateFactor == 0);

    /// <summary>How many values from <see cref="UncutStart"/> on have a gradient that each rank of the cut knows a part of.</summary>
    public long PartialCount { get; }

    /// <summary>The flat compute weights, [Count] or more; null while they are not here.</summary>
    public Tensor? Flat { get; private set; }

    /// <summary>A weight in its shape: a view of <see cref="Flat"/>.</summary>
    public Tensor this[string name] => Find(name) ?? throw new InvalidOperationException($"This block has no weight '{name}'.");

    /// <summary>The weight, or null when the model has none of this name (biases).</summary>
    public Tensor? Find(string name) => _places.ContainsKey(name) ? Stacked(name, name) : Base?.Find(name);

    /// <summary>Weights that follow each other in the flat tensor, <paramref name="first"/> to <paramref name="last"/>, as one with all their rows.</summary>
    public Tensor Stacked(string first, string last)
    {
        if (Base is not null && !_places.ContainsKey(first))
            return Base.Stacked(first, last);
        if (Flat is null)
            throw new InvalidOperationException($"The weight '{first}' is not here.");
        string key = first + last;
        return _views.TryGetValue(key, out Tensor? view) ? view : _views[key] = ViewOf(Flat, first, last).DetachFromDisposeScope();
    }

    /// <summary>The same places of another flat tensor (a gradient), in the weights' shape.</summary>
    public Tensor ViewOf(Tensor flat, string first, string last)
    {
        Place from = _places[first], to = _places[last];
        long count = to.Offset + to.Weight.Count - from.Offset;
        long[] shape = from.Weight.Shape.Length == 1 ? [count] : [count / from.Weight.Shape[1], from.Weight.Shape[1]];
        return flat.narrow(0, from.Offset, count).view(shape);
    }

    /// <summary>As <see cref="ViewOf"/> of a gradient; null where all of these weights are frozen and no gradient is wanted.</summary>
    public Tensor? GradientOf(Tensor flat, string first, string last)
    {
        if (Base is not null && !_places.ContainsKey(first))
            return null;
        long from = _places[first].Offset, to = _places[last].Offset;
        bool isFrozen = _places.Values.All(p => p.Weight.IsFrozen || p.Offset < from || p.Offset > to);
        return isFrozen ? null : ViewOf(flat, first, last);
    }

    /// <summary>Rows of this rank's part of a weight, whether it is here or not.</summary>
    public long RowCountOf(string name) => _places.TryGetValue(name, out Place? place) ? place.Weight.Shape[0] : Base!.RowCountOf(name);

    /// <summary>The rows of a weight that are trained in its place; null where there are none.</summary>
    public LocalWeight? RowsOf(string name) => Weights.FirstOrDefault(w => w.RowsOf?.Weight == name);

    /// <summary>Puts rows that are trained by themselves where they belong in <see cref="Base"/>, once both are here.</summary>
    public void LayRows()
    {
        foreach (LocalWeight rows in Weights.Where(w => w.RowsOf is not null && w.Count > 0))
        {
            using var scope = NewDisposeScope();
            Base![rows.RowsOf!.Weight].narrow(0, rows.RowsOf.First, rows.Shape[0]).copy_(this[rows.Name]);
        }
    }

    /// <summary>Where a weight starts in the flat tensors.</summary>
    public long OffsetOf(string name) => _places[name].Offset;

    /// <summary>Gives the block its flat weights, which stay the caller's.</summary>
    public void Attach(Tensor flat)
    {
        Detach();
        Flat = flat;
    }

    /// <summary>Takes the flat weights away.</summary>
    public void Detach()
    {
        foreach (Tensor view in _views.Values)
            view.Dispose();
        _views.Clear();
        Flat = null;
    }

    /// <inheritdoc />
    public void Dispose() => Detach();

    private static IEnumerable<UpdateRun> RunsOf(LocalWeight[] ordered)
    {
        long start = 0;
        for (int i = 0; i < ordered.Length;)
        {
            LocalWeight first = ordered[i];
            long end = start;
            for (; i < ordered.Length && ordered[i].HasDecay == first.HasDecay && ordered[i].RateFactor.Equals(first.RateFactor); i++)
                end += ordered[i].Count;
            yield return new UpdateRun(start, end, first.HasDecay, first.RateFactor);
            start = end;
        }
    }

    private sealed record Place(long Offset, LocalWeight Weight);
}

/// <summary>A stretch of a block's flat state that is updated alike.</summary>
/// <param name="Start">Its first value.</param>
/// <param name="End">After its last.</param>
/// <param name="HasDecay">Weight decay.</param>
/// <param name="RateFactor">Of the learning rate; 0 for frozen weights.</param>
public readonly record struct UpdateRun(long Start, long End, bool HasDecay, double RateFactor);
