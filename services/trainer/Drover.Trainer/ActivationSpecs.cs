using Drover.Protocol.Trainer.V1;

namespace Drover.Trainer;

/// <summary>What a spec keeps between forward and backward.</summary>
internal static class ActivationSpecs
{
    /// <summary>Wrong fields, as far as can be told without the model.</summary>
    public static IEnumerable<string> Problems(TrainingSpec spec)
    {
        ActivationSpec activations = spec.Activations ?? new ActivationSpec();
        if (!Enum.IsDefined(activations.Recompute))
            yield return $"activations.recompute {(int)activations.Recompute} is unknown";
        if (spec.Recompute && activations.Recompute is not (RecomputeMode.Unspecified or RecomputeMode.Full))
            yield return "recompute and activations.recompute say different things: leave one out";
    }

    /// <summary>With the defaults filled in.</summary>
    public static Layout.ActivationSpec Resolve(TrainingSpec spec)
    {
        ActivationSpec activations = spec.Activations ?? new ActivationSpec();
        return new Layout.ActivationSpec
        {
            Mode = activations.Recompute switch
            {
                RecomputeMode.Unspecified => spec.Recompute ? Layout.RecomputeMode.Full : Layout.RecomputeMode.None,
                // The numbers are the same.
                _ => (Layout.RecomputeMode)(int)activations.Recompute,
            },
            Blocks = activations.RecomputeBlocks,
            Offload = activations.Offload,
        };
    }
}
