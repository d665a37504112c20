namespace Drover.Formats.Checkpoints;

/// <summary>Checks that slices make up a tensor: each inside it, none overlapping, all of it covered.</summary>
public static class TensorCoverage
{
    /// <summary>What is wrong with a tensor's slices, or null when nothing is.</summary>
    public static string? Problem(LogicalTensor tensor)
    {
        string name = $"{tensor.Kind}/{tensor.Name}";
        if (tensor.Shape.Any(d => d < 0))
            return $"{name} has the impossible shape {Text(tensor.Shape)}";
        foreach (TensorSlice slice in tensor.Slices)
        {
            if (!BoxOf(slice).LiesIn(tensor.Shape))
                return $"slice '{slice.Key}' of '{slice.File}', {Text(slice.Shape)} at {Text(slice.Offset)}, does not lie in {name} {Text(tensor.Shape)}";
        }

        return Overlap(tensor, name) ?? Hole(tensor, name);
    }

    internal static TensorBox BoxOf(TensorSlice slice) => new(slice.Offset, slice.Shape);

    internal static string Text(long[] shape) => $"[{string.Join(", ", shape)}]";

    private static string? Overlap(LogicalTensor tensor, string name)
    {
        if (tensor.Shape.Length == 0)
            return tensor.Slices.Count > 1 ? $"the scalar {name} is written {tensor.Slices.Count} times" : null;
        // Sorted by the first dimension, a slice can only overlap those that start before it ends.
        TensorSlice[] slices = [.. tensor.Slices.OrderBy(s => s.Offset[0])];
        for (int i = 0; i < slices.Length; i++)
        {
            long end = slices[i].Offset[0] + slices[i].Shape[0];
            for (int j = i + 1; j < slices.Length && slices[j].Offset[0] < end; j++)
            {
                if (BoxOf(slices[i]).Intersect(BoxOf(slices[j])) is not null)
                    return $"slices '{slices[i].Key}' of '{slices[i].File}' and '{slices[j].Key}' of '{slices[j].File}' of {name} overlap";
            }
        }

        return null;
    }

    // Disjoint and inside: then they cover the tensor exactly when the counts agree.
    private static string? Hole(LogicalTensor tensor, string name)
    {
        try
        {
            long total = TensorBox.Count(tensor.Shape);
            long covered = tensor.Slices.Sum(s => TensorBox.Count(s.Shape));
            return covered == total ? null : $"the slices of {name} hold {covered} of its {total} elements";
        }
        catch (OverflowException)
        {
            return $"{name} has the impossible shape {Text(tensor.Shape)}";
        }
    }
}
