using Drover.Trainer.Collectives;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// The grid of ranks: pipeline x data x sequence x tensor, the last running fastest, so that ranks which talk most are neighbours.
/// Holds this rank's coordinates and its group along each axis.
/// </summary>
public sealed class RankGrid : IDisposable
{
    private readonly List<ICollectives> _groups = [];

    /// <summary>Makes the groups; every rank of the world calls it.</summary>
    public RankGrid(ParallelSpec spec, ICollectives world)
    {
        World = world;
        Coordinates = RankCoordinates.Of(world.Rank, spec, world.WorldSize);
        (int pp, int dp, int sp, int tp) = Coordinates;
        int data = spec.DataParallel(world.WorldSize);
        Tensor = Group("tensor", (((pp * data) + dp) * spec.SequenceParallel) + sp);
        Sequence = Group("sequence", (((pp * data) + dp) * spec.TensorParallel) + tp);
        Pipeline = Group("pipeline", (((dp * spec.SequenceParallel) + sp) * spec.TensorParallel) + tp);
        Data = Group("data", (pp * spec.TensorParallel) + tp);
        int ends = 1 + (((dp * spec.SequenceParallel) + sp) * spec.TensorParallel) + tp;
        Ends = Group("ends", pp == 0 || pp == spec.PipelineParallel - 1 ? ends : 0);
        Replicas = data;
    }

    /// <summary>All ranks.</summary>
    public ICollectives World { get; }

    /// <summary>Where this rank is.</summary>
    public RankCoordinates Coordinates { get; }

    /// <summary>Replicas of the model: each has rows of its own.</summary>
    public int Replicas { get; }

    /// <summary>Ranks that share each weight.</summary>
    public ICollectives Tensor { get; }

    /// <summary>Ranks that share the tokens of a row.</summary>
    public ICollectives Sequence { get; }

    /// <summary>Ranks that hold other layers.</summary>
    public ICollectives Pipeline { get; }

    /// <summary>Ranks that hold the same weights and see other tokens: data x sequence. Gradients are summed over it.</summary>
    public ICollectives Data { get; }

    /// <summary>The first and the last rank of the pipeline: they share a tied embedding. Of no use to the ranks between.</summary>
    public ICollectives Ends { get; }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (ICollectives group in _groups)
            group.Dispose();
    }

    private ICollectives Group(string axis, int color)
    {
        _groups.Add(World.Split(axis, color));
        return _groups[^1];
    }
}
