using System.Diagnostics;
using System.Text.Json;
using Drover.Errors;
using Drover.Tokenization;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>Continues prompts and tells their text as it comes.</summary>
internal static class GenerateCommand
{
    public static void Run(RankContext rank)
    {
        GenerateSpec spec = rank.Spec.Generate!;
        ModelSource source = ModelSource.OpenAsync(rank.Store, spec.Model).Finish();
        ITextTokenizer tokenizer = TokenizerFolder.LoadAsync(rank.Store, spec.Tokenizer, CancellationToken.None).Finish();
        if (tokenizer.VocabularySize > source.Config.VocabSize)
            throw new DroverException(FailureCode.FailedPrecondition, "VOCABULARY_MISMATCH", $"The tokenizer '{spec.Tokenizer}' has {tokenizer.VocabularySize} ids, and the model '{spec.Model}' only {source.Config.VocabSize} embedding rows.");
        using var model = new LanguageModel(source.Config, EvaluateCommand.PrecisionOf(rank.Spec), rank.Spec.Threads, rank.Device);
        model.LoadWeights(source.Read);

        List<int>[] prompts = [.. spec.Prompts.Select(p => Tokens(tokenizer, p, spec.Tokenizer))];
        ContinuedText[] texts = [.. prompts.Select(p => new ContinuedText(tokenizer, p, spec.StopStrings))];
        long count = 0, started = Stopwatch.GetTimestamp();
        EndReason[] reasons = new TextGenerator(model, SpecOf(spec, tokenizer, source.Config.EosTokenId)).Run(prompts, (prompt, id) =>
        {
            count++;
            string text = id < tokenizer.VocabularySize ? texts[prompt].Add(id) : "";
            rank.Events.Write(new WorkerEvent { Generated = new GeneratedEvent(prompt, [id], text, null) });
            return !texts[prompt].IsStopped;
        });
        for (int i = 0; i < texts.Length; i++)
            rank.Events.Write(new WorkerEvent { Generated = new GeneratedEvent(i, [], texts[i].Finish(), reasons[i].ToString()) });
        rank.Events.Write(new WorkerEvent { GeneratedAll = new GeneratedAllEvent(prompts.Sum(p => p.Count), count, Stopwatch.GetElapsedTime(started).TotalSeconds) });
    }

    private static List<int> Tokens(ITextTokenizer tokenizer, string prompt, string folder)
    {
        List<int> ids = tokenizer.BosId >= 0 ? [tokenizer.BosId, .. tokenizer.Encode(prompt)] : [.. tokenizer.Encode(prompt)];
        return ids.Count > 0
            ? ids
            : throw new DroverException(FailureCode.InvalidArgument, "EMPTY_PROMPT", $"A prompt is empty and the tokenizer '{folder}' has no token that begins a text. Give a prompt.");
    }

    private static GenerationSpec SpecOf(GenerateSpec spec, ITextTokenizer tokenizer, JsonElement? configured) => new(
        spec.MaxNewTokens,
        new HashSet<int>([.. spec.StopIds, .. spec.IgnoreEndOfText ? [] : EndIds(tokenizer, configured)]),
        new SamplingSpec
        {
            Temperature = spec.Temperature,
            TopK = spec.TopK,
            TopP = spec.TopP,
            MinP = spec.MinP,
            RepetitionPenalty = spec.RepetitionPenalty,
            Seed = spec.Seed,
        });

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
