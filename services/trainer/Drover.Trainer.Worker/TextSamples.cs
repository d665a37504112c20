using System.Text;
using Drover.Errors;
using Drover.Tokenization;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>Greedy continuations of a run's sample prompts by the model as it stands, for TensorBoard: on rank 0, which has all of the weights.</summary>
internal sealed class TextSamples
{
    private readonly TrainSamples _spec;
    private readonly ITextTokenizer _tokenizer;
    private readonly IReadOnlyList<IReadOnlyList<int>> _prompts;

    private TextSamples(TrainSamples spec, ITextTokenizer tokenizer)
    {
        (_spec, _tokenizer) = (spec, tokenizer);
        _prompts = [.. spec.Prompts.Select(p => (int[])(tokenizer.BosId >= 0 ? [tokenizer.BosId, .. tokenizer.Encode(p)] : [.. tokenizer.Encode(p)]))];
        if (_prompts.Any(p => p.Count == 0))
            throw new DroverException(FailureCode.InvalidArgument, "EMPTY_PROMPT", $"A prompt of samples is empty and the tokenizer '{spec.Tokenizer}' has no token that begins a text. Give a prompt.");
    }

    /// <summary>The samples of a run; null where it has none, and on ranks that make none.</summary>
    public static async Task<TextSamples?> OpenAsync(RankContext rank, TrainSamples? spec) => spec is null || rank.Collectives.Rank > 0
        ? null
        : new TextSamples(spec, await TokenizerFolder.LoadAsync(rank.Store, spec.Tokenizer, CancellationToken.None).ConfigureAwait(false));

    /// <summary>Whether there are samples after a step.</summary>
    public bool IsDue(long step, long lastStep) => step == lastStep || step % _spec.IntervalSteps == 0;

    /// <summary>Continues the prompts.</summary>
    public void Write(TrainingEngine engine, RunBoard board)
    {
        using LanguageModel model = engine.BorrowModel();
        var generator = new TextGenerator(model, new GenerationSpec(_spec.MaxNewTokens, new HashSet<int> { _tokenizer.EosId }, new SamplingSpec()));
        List<int>[] texts = [.. _prompts.Select(_ => new List<int>())];
        generator.Run(_prompts, (prompt, id) =>
        {
            texts[prompt].Add(id);
            return true;
        });
        for (int i = 0; i < texts.Length; i++)
            board.Write(engine.StepsDone, $"samples/{i}", Markdown(_spec.Prompts[i], [.. _prompts[i], .. texts[i]]));
    }

    // Indented, so that TensorBoard shows the text as it is. Ids beyond the tokenizer's have no text, and the last may end within a character.
    private string Markdown(string prompt, int[] ids)
    {
        string whole = _tokenizer.Decode([.. ids.Where(id => id < _tokenizer.VocabularySize)], true).TrimEnd('\uFFFD');
        var text = new StringBuilder($"**{prompt.ReplaceLineEndings(" ")}**\n\n");
        foreach (string line in whole.Split('\n'))
            text.Append("    ").Append(line).Append('\n');
        return text.ToString();
    }
}
