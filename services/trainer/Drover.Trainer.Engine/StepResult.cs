namespace Drover.Trainer.Engine;

/// <summary>What one optimizer step did, the same on every rank but for the times.</summary>
/// <param name="Step">Steps are counted from 1.</param>
/// <param name="Loss">Nats per labelled token over the global step, before the update.</param>
/// <param name="GradNorm">Norm of the gradient over all weights, before clipping.</param>
/// <param name="LearningRate">Rate the update used.</param>
/// <param name="LabelTokens">Tokens that carry loss, over all ranks.</param>
/// <param name="RealTokens">Tokens of the rows, over all ranks.</param>
/// <param name="Seconds">Wall time of the step on this rank.</param>
/// <param name="ForwardSeconds">Of it, forward passes without the head.</param>
/// <param name="BackwardSeconds">Of it, the head (forward and backward) and backward passes.</param>
/// <param name="OptimizerSeconds">Of it, waiting for the last reductions, clipping and AdamW.</param>
/// <param name="LossScale">What the loss was multiplied by before it was differentiated; 1 where the precision needs none.</param>
/// <param name="SkippedSteps">Steps of the run, this one among them, that changed no weight: because their gradients were not finite in fp16 (then <paramref name="GradNorm"/> is not finite), or because the guard left them out.</param>
/// <param name="ModelFlops">Floating-point operations that the model asks for over all ranks (3 times the forward products; recomputation is not counted).</param>
/// <param name="Anomaly">What the guard said of the step; null for nothing.</param>
public sealed record StepResult(
    long Step,
    double Loss,
    double GradNorm,
    double LearningRate,
    long LabelTokens,
    long RealTokens,
    double Seconds,
    double ForwardSeconds,
    double BackwardSeconds,
    double OptimizerSeconds,
    double ModelFlops,
    double LossScale = 1,
    long SkippedSteps = 0,
    StepAnomaly? Anomaly = null);

/// <summary>Loss of a model over a set of rows.</summary>
/// <param name="LossSum">Nats, summed over labelled tokens.</param>
/// <param name="LabelTokens">Labelled tokens.</param>
public sealed record EvaluationSums(double LossSum, long LabelTokens)
{
    /// <summary>Nats per labelled token; 0 where there is none.</summary>
    public double Mean => LabelTokens == 0 ? 0 : LossSum / LabelTokens;
}
