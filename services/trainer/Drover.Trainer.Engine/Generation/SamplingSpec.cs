namespace Drover.Trainer.Engine;

/// <summary>
/// How the next token is chosen from logits. In this order, as transformers does it: the penalty, the temperature, the most probable
/// <see cref="TopK"/>, of them the fewest that have the mass <see cref="TopP"/>, and of those the ones that are at least <see cref="MinP"/> times as
/// probable as the most probable.
/// </summary>
public sealed record SamplingSpec
{
    /// <summary>Logits are divided by it; 0 takes the most probable token.</summary>
    public double Temperature { get; init; }

    /// <summary>Tokens that are kept, more where several are equally probable; 0 for all.</summary>
    public int TopK { get; init; }

    /// <summary>The mass that is kept (Holtzman et al., 2020); 1 for all.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Part of the largest probability (Nguyen et al., 2024); 0 for all.</summary>
    public double MinP { get; init; }

    /// <summary>Logits of tokens that the text has already are divided by it where positive, and multiplied where not (Keskar et al., 2019); 1 for nothing.</summary>
    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>The same seed, prompt and place among the prompts gives the same text.</summary>
    public long Seed { get; init; }

    /// <summary>What of it cannot be.</summary>
    public IEnumerable<string> Problems()
    {
        if (!(Temperature >= 0 && double.IsFinite(Temperature)))
            yield return $"temperature is {Temperature}; give 0 for the most probable token, or more";
        if (TopK < 0)
            yield return $"top_k is {TopK}; give 1 or more, or 0 for all";
        if (TopP is not (> 0 and <= 1))
            yield return $"top_p is {TopP}; give more than 0, at most 1";
        if (MinP is not (>= 0 and < 1))
            yield return $"min_p is {MinP}; give 0 or more, less than 1";
        if (!(RepetitionPenalty > 0 && double.IsFinite(RepetitionPenalty)))
            yield return $"repetition_penalty is {RepetitionPenalty}; give more than 0, or 1 for none";
    }
}
