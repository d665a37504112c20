using System.Diagnostics;
using System.Text.Json.Nodes;
using Drover.Trainer.Engine;
using Drover.Trainer.Model;

namespace Drover.Benchmarks;

/// <summary>
/// Times texts that are continued greedily from random ids, with the cache of keys and values and (the first few tokens) without one.
/// Prints one line of JSON. Keys beside those of the model: texts prompt new without (tokens made without a cache).
/// </summary>
internal static class GenerateBenchmark
{
    public static int Run(StepArguments arguments)
    {
        HostHeap.KeepFreedMemory();
        using var model = new LanguageModel(arguments.Config, arguments.Precision, arguments.Threads);
        model.InitializeWeights(0);
        var random = new Random(1);
        int count = arguments.NewTokens;
        int[][] prompts = [.. Enumerable.Range(0, arguments.Texts).Select(_ => Enumerable.Range(0, arguments.PromptTokens).Select(_ => random.Next(model.Config.VocabSize)).ToArray())];
        Seconds(model, prompts, 4);
        double first = Seconds(model, prompts, 1), all = Seconds(model, prompts, count);
        // What Drover did before it had a cache: every token reads the whole text.
        List<int> text = [.. prompts[0]];
        long started = Stopwatch.GetTimestamp();
        for (int i = 0; i < arguments.WithoutCache; i++)
            text.AddRange(new TextGenerator(model, new GenerationSpec(1, new HashSet<int>(), new SamplingSpec())).Continue(text));
        double without = Stopwatch.GetElapsedTime(started).TotalSeconds / Math.Max(1, arguments.WithoutCache);
        Console.WriteLine(new JsonObject
        {
            ["precision"] = arguments.Precision.ToString(),
            ["threads"] = arguments.Threads,
            ["texts"] = prompts.Length,
            ["prompt_tokens"] = arguments.PromptTokens,
            ["new_tokens"] = count,
            ["prompt_s"] = Math.Round(first, 4),
            ["tokens_per_second"] = Math.Round(prompts.Length * (count - 1) / (all - first), 1),
            ["without_cache_tokens_per_second"] = arguments.WithoutCache == 0 ? null : Math.Round(1 / without, 2),
        }.ToJsonString());
        return 0;
    }

    private static double Seconds(LanguageModel model, int[][] prompts, int count)
    {
        long started = Stopwatch.GetTimestamp();
        new TextGenerator(model, new GenerationSpec(count, new HashSet<int>(), new SamplingSpec())).Run(prompts, (_, _) => true);
        return Stopwatch.GetElapsedTime(started).TotalSeconds;
    }
}
