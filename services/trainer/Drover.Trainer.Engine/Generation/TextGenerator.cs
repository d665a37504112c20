using Drover.Errors;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>Why a continuation ended.</summary>
public enum EndReason
{
    /// <summary>It has as many tokens as were asked for.</summary>
    Length = 1,

    /// <summary>The model ended the text: the next token was an end id.</summary>
    EndOfText = 2,

    /// <summary>Whoever takes the tokens wanted no more.</summary>
    Stopped = 3,
}

/// <summary>How texts are continued.</summary>
/// <param name="MaxNewTokens">Tokens of a continuation at most.</param>
/// <param name="EndIds">A continuation ends before any of these.</param>
/// <param name="Sampling">How tokens are chosen.</param>
public sealed record GenerationSpec(int MaxNewTokens, IReadOnlySet<int> EndIds, SamplingSpec Sampling);

/// <summary>
/// Continues several texts together: one pass over all prompts, then one token of each text a pass over the keys and values kept
/// (<see cref="KeyValueCache"/>). Texts that have ended take no more part. A text is the same whichever others it is continued with, up to the
/// order of sums.
/// </summary>
public sealed class TextGenerator(LanguageModel model, GenerationSpec spec)
{
    private readonly TokenSampler _sampler = new(spec.Sampling);

    /// <summary>Continues prompts.</summary>
    /// <param name="prompts">Token ids; none is empty.</param>
    /// <param name="take">Takes the next token of a prompt's continuation, by the prompt's place; false for no more.</param>
    /// <param name="cancellation">Ends the work between tokens.</param>
    /// <returns>Why each ended.</returns>
    /// <exception cref="DroverException">InvalidArgument for an empty prompt or an id outside the vocabulary.</exception>
    public EndReason[] Run(IReadOnlyList<IReadOnlyList<int>> prompts, Func<int, int, bool> take, CancellationToken cancellation = default)
    {
        Check(prompts);
        var reasons = new EndReason[prompts.Count];
        HashSet<int>[] seen = [.. prompts.Select(p => p.ToHashSet())];
        List<int> active = [.. Enumerable.Range(0, prompts.Count)];
        using KeyValueCache cache = model.NewCache(prompts.Count, prompts.Max(p => p.Count) + spec.MaxNewTokens);
        int[] next = [];
        for (int place = 0; place < spec.MaxNewTokens && active.Count > 0; place++)
        {
            cancellation.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            Tensor logits = place == 0 ? model.Read(prompts, cache) : model.Read(next, cache);
            Span<float> values = TensorMemory.FloatsOf(logits.cpu());
            var going = new List<int>();
            var ids = new List<int>();
            for (int i = 0; i < active.Count; i++)
            {
                int text = active[i], id = _sampler.Next(values.Slice(i * model.Config.VocabSize, model.Config.VocabSize), seen[text], text, place);
                if (spec.EndIds.Contains(id))
                {
                    reasons[text] = EndReason.EndOfText;
                    continue;
                }

                seen[text].Add(id);
                if (!take(text, id))
                {
                    reasons[text] = EndReason.Stopped;
                    continue;
                }

                going.Add(i);
                ids.Add(id);
            }

            if (going.Count > 0 && going.Count < active.Count)
                cache.Keep(going);
            active = [.. going.Select(i => active[i])];
            next = [.. ids];
        }

        foreach (int text in active)
            reasons[text] = EndReason.Length;
        return reasons;
    }

    /// <summary>One prompt's continuation.</summary>
    public int[] Continue(IReadOnlyList<int> prompt, CancellationToken cancellation = default)
    {
        var ids = new List<int>();
        Run([prompt], (_, id) =>
        {
            ids.Add(id);
            return true;
        }, cancellation);
        return [.. ids];
    }

    private void Check(IReadOnlyList<IReadOnlyList<int>> prompts)
    {
        foreach (IReadOnlyList<int> prompt in prompts)
        {
            if (prompt.Count == 0)
                throw new DroverException(FailureCode.InvalidArgument, "EMPTY_PROMPT", "The prompt has no token: give at least the beginning-of-sequence token.");
            foreach (int id in prompt.Where(id => (uint)id >= (uint)model.Config.VocabSize))
                throw new DroverException(FailureCode.InvalidArgument, "ID_OUT_OF_RANGE", $"The prompt holds the token id {id}; the model has {model.Config.VocabSize} embedding rows.");
        }
    }
}
