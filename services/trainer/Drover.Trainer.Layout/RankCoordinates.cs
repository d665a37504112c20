namespace Drover.Trainer.Layout;

/// <summary>Coordinates of a rank.</summary>
/// <param name="Pipeline">Stage.</param>
/// <param name="Data">Replica.</param>
/// <param name="Sequence">Part of the tokens.</param>
/// <param name="Tensor">Part of each weight.</param>
public readonly record struct RankCoordinates(int Pipeline, int Data, int Sequence, int Tensor)
{
    /// <summary>Coordinates of a rank of the world.</summary>
    public static RankCoordinates Of(int rank, ParallelSpec spec, int ranks)
    {
        (int rest, int tensor) = Math.DivRem(rank, spec.TensorParallel);
        (rest, int sequence) = Math.DivRem(rest, spec.SequenceParallel);
        (int pipeline, int data) = Math.DivRem(rest, spec.DataParallel(ranks));
        return new RankCoordinates(pipeline, data, sequence, tensor);
    }
}
