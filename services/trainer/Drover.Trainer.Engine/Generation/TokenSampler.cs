namespace Drover.Trainer.Engine;

/// <summary>Chooses tokens. What is drawn depends on the seed, the text's number and the token's number alone, not on what else is drawn.</summary>
public sealed class TokenSampler(SamplingSpec spec)
{
    private readonly ulong _key = CounterGenerator.KeyOf(spec.Seed, "sampling");

    /// <summary>The next token of a text.</summary>
    /// <param name="logits">Of all tokens; changed.</param>
    /// <param name="seen">Tokens of the text so far, its prompt among them.</param>
    /// <param name="text">The text's number among those that are continued together.</param>
    /// <param name="place">The token's number in the continuation.</param>
    public int Next(Span<float> logits, IReadOnlySet<int> seen, int text, int place)
    {
        Penalize(logits, seen);
        if (spec.Temperature == 0)
            return MostProbable(logits);
        List<(int Id, double Probability)> candidates = Candidates(logits);
        double left = (CounterGenerator.Mix(CounterGenerator.Mix(_key, (ulong)text), (ulong)place) >> 11) * (1.0 / (1UL << 53));
        foreach ((int id, double probability) in candidates)
        {
            left -= probability;
            if (left < 0)
                return id;
        }

        return candidates[^1].Id;
    }

    /// <summary>The tokens that may be drawn and their probabilities, which sum to 1. For a temperature above 0.</summary>
    public List<(int Id, double Probability)> Candidates(ReadOnlySpan<float> logits)
    {
        float largest = logits[MostProbable(logits)], least = spec.TopK > 0 && spec.TopK < logits.Length ? KthLargest(logits, spec.TopK) : float.NegativeInfinity;
        var kept = new List<(int Id, double Weight)>();
        double sum = 0;
        for (int id = 0; id < logits.Length; id++)
        {
            if (logits[id] < least)
                continue;
            kept.Add((id, Math.Exp(((double)logits[id] - largest) / spec.Temperature)));
            sum += kept[^1].Weight;
        }

        if (spec.TopP < 1)
            kept = Nucleus(kept, sum);
        // The most probable token has the weight 1.
        kept.RemoveAll(c => c.Weight < spec.MinP);
        double whole = kept.Sum(c => c.Weight);
        return [.. kept.Select(c => (c.Id, c.Weight / whole))];
    }

    private void Penalize(Span<float> logits, IReadOnlySet<int> seen)
    {
        if (spec.RepetitionPenalty == 1)
            return;
        foreach (int id in seen)
            logits[id] = (float)(logits[id] > 0 ? logits[id] / spec.RepetitionPenalty : logits[id] * spec.RepetitionPenalty);
    }

    // The first of several.
    private static int MostProbable(ReadOnlySpan<float> logits)
    {
        int best = 0;
        for (int id = 1; id < logits.Length; id++)
            best = logits[id] > logits[best] ? id : best;
        return best;
    }

    private static float KthLargest(ReadOnlySpan<float> logits, int k)
    {
        var largest = new PriorityQueue<int, float>(k + 1);
        for (int id = 0; id < logits.Length; id++)
        {
            if (largest.Count < k)
                largest.Enqueue(id, logits[id]);
            else
                largest.EnqueueDequeue(id, logits[id]);
        }

        return logits[largest.Peek()];
    }

    // The fewest whose mass reaches top_p, the most probable first. Tokens so rare that all of them together could not make up the rest are
    // never among them: they need no sorting.
    private List<(int Id, double Weight)> Nucleus(List<(int Id, double Weight)> candidates, double sum)
    {
        double rare = (1 - spec.TopP) * sum / candidates.Count, mass = 0;
        var nucleus = new List<(int Id, double Weight)>();
        foreach ((int id, double weight) in candidates.Where(c => c.Weight >= rare).OrderByDescending(c => c.Weight).ThenBy(c => c.Id))
        {
            if (nucleus.Count > 0 && mass >= spec.TopP * sum)
                break;
            nucleus.Add((id, weight));
            mass += weight;
        }

        return nucleus;
    }
}
