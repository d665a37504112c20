using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>Texts that a run continues for TensorBoard: wrong fields, defaults.</summary>
internal static class SampleSpecs
{
    private const int MaxNewTokens = 1024;

    /// <summary>Every wrong field.</summary>
    public static IEnumerable<string> Problems(TrainingSpec spec)
    {
        if (spec.Samples is not { } samples)
            yield break;
        if (samples.Prompts.Count == 0)
            yield return "samples.prompts is empty; give texts to be continued";
        if (spec.Tokenizer.Length == 0)
            yield return "samples needs tokenizer: the texts are to be encoded";
        if (spec.Lora is not null)
            yield return "samples is not for runs with lora: 'drover generate' continues texts from their checkpoints";
        if (samples.IntervalSteps < 0)
            yield return $"samples.interval_steps is {samples.IntervalSteps}";
        if (samples.MaxNewTokens is < 0 or > MaxNewTokens)
            yield return $"samples.max_new_tokens is {samples.MaxNewTokens}; give 1 to {MaxNewTokens}, or 0 for 32";
        if (!ParallelismSpecs.Resolve(spec.Parallelism).KeepsModelWhole)
            yield return "samples needs a layout whose ranks keep all weights: ddp, zero1 or zero2, without tensor, pipeline and sequence parallelism";
    }

    /// <summary>What the ranks are told.</summary>
    public static TrainSamples? Resolve(TrainingSpec spec) => spec.Samples is not { } samples ? null : new TrainSamples(
        [.. samples.Prompts], samples.IntervalSteps == 0 ? 100 : samples.IntervalSteps, samples.MaxNewTokens == 0 ? 32 : samples.MaxNewTokens, spec.Tokenizer);
}
