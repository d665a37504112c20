using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Protocol.Trainer.V1;
using LoraSpec = Drover.Formats.Adapters.LoraSpec;

namespace Drover.Trainer;

/// <summary>A spec that can run, with its plan and what the plan was made of.</summary>
/// <param name="Spec">The run.</param>
/// <param name="Config">Its model.</param>
/// <param name="Rows">What a row is.</param>
/// <param name="Lora">Its adapters; null for none.</param>
/// <param name="Plan">What would lie where.</param>
internal sealed record PlannedRun(TrainingSpec Spec, LlamaConfig Config, RowFacts Rows, LoraSpec? Lora, TrainingPlan Plan);

/// <summary>Rows of a dataset, as far as speed and memory depend on them.</summary>
/// <param name="Tokens">Of a full row.</param>
/// <param name="Documents">In a row, on average.</param>
/// <param name="LabelledPart">The part of the tokens that carries loss, 0 to 1.</param>
internal sealed record RowFacts(int Tokens, int Documents, double LabelledPart)
{
    /// <summary>Of full rows of one document; all of it is learned.</summary>
    public static RowFacts Of(int tokens) => new(tokens, 1, 1);

    /// <summary>Of a dataset.</summary>
    public static RowFacts Of(DatasetManifest manifest) => new(
        manifest.MaxLength,
        (int)Math.Clamp(Math.Round((double)manifest.Documents / Math.Max(1, manifest.Rows)), 1, manifest.MaxLength),
        manifest.TokensInRows > 0 && manifest.LabelTokens > 0 ? Math.Min(1, (double)manifest.LabelTokens / manifest.TokensInRows) : 1);
}
