using System.Text.Json;
using Drover.Errors;
using Drover.Tokenization;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>Greedy continuation of a prompt.</summary>
internal static class GenerateCommand
{
    public static async Task RunAsync(RankContext rank)
    {
        GenerateSpec spec = rank.Spec.Generate!;
        ModelSource source = await ModelSource.OpenAsync(rank.Store, spec.Model).ConfigureAwait(false);
        ITextTokenizer tokenizer = await TokenizerFolder.LoadAsync(rank.Store, spec.Model, CancellationToken.None).ConfigureAwait(false);
        if (tokenizer.VocabularySize > source.Config.VocabSize)
            throw new DroverException(FailureCode.FailedPrecondition, "VOCABULARY_MISMATCH", $"The tokenizer of '{spec.Model}' has {tokenizer.VocabularySize} ids and its model only {source.Config.VocabSize} embedding rows.");
        using var model = new LanguageModel(source.Config, EvaluateCommand.PrecisionOf(rank.Spec), rank.Spec.Threads);
        model.LoadWeights(source.Read);

        var prompt = new List<int>();
        if (tokenizer.BosId >= 0)
            prompt.Add(tokenizer.BosId);
        prompt.AddRange(tokenizer.Encode(spec.Prompt));
        if (prompt.Count == 0)
            throw new DroverException(FailureCode.InvalidArgument, "EMPTY_PROMPT", $"The prompt is empty and the tokenizer of '{spec.Model}' has no token that begins a text. Give a prompt.");
        int[] ids = model.GenerateGreedy(prompt, spec.MaxNewTokens, EndIds(tokenizer, source.Config.EosTokenId));
        // Decoded with the prompt and cut behind it: the first piece of a text may look different alone (leading space).
        string before = tokenizer.Decode(prompt, true);
        string whole = tokenizer.Decode([.. prompt, .. ids], true);
        string text = whole.StartsWith(before, StringComparison.Ordinal) ? whole[before.Length..] : tokenizer.Decode(ids, true);
        rank.Events.Write(new WorkerEvent { Generated = new GeneratedEvent(ids, text) });
    }

    private static HashSet<int> EndIds(ITextTokenizer tokenizer, JsonElement? configured)
    {
        var ids = new HashSet<int>();
        if (tokenizer.EosId >= 0)
            ids.Add(tokenizer.EosId);
        if (configured is { ValueKind: JsonValueKind.Number } one)
            ids.Add(one.GetInt32());
        else if (configured is { ValueKind: JsonValueKind.Array } many)
            ids.UnionWith(many.EnumerateArray().Select(id => id.GetInt32()));
        return ids;
    }
}
