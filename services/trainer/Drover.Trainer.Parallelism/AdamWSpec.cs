namespace Drover.Trainer.Parallelism;

/// <summary>AdamW with decoupled weight decay (Loshchilov and Hutter, 2019).</summary>
public sealed record AdamWSpec
{
    /// <summary>How the moments are kept.</summary>
    public OptimizerKind Kind { get; init; } = OptimizerKind.AdamW;

    /// <summary>Peak learning rate.</summary>
    public double LearningRate { get; init; } = 3e-4;

    /// <summary>Decay of the first moment.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the second moment.</summary>
    public double Beta2 { get; init; } = 0.95;

    /// <summary>Added to the root of the second moment.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>Weight decay of matrices; norms and biases have none.</summary>
    public double WeightDecay { get; init; } = 0.1;
}
