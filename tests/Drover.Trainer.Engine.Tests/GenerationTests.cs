using Drover.Formats.HuggingFace;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

public sealed class GenerationTests
{
    private static readonly HashSet<int> NoEnd = [];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(FamilyParityTests.Names), MemberType = typeof(FamilyParityTests))]
    public void Logits_with_a_cache_equal_those_of_the_whole_text_within_1e_5(string name)
    {
        using LanguageModel model = FamilyModel(name);
        var random = new Random(4);
        List<int>[] texts = [.. new[] { 11, 1, 17 }.Select(n => Enumerable.Range(0, n).Select(_ => random.Next(model.Config.VocabSize)).ToList())];
        using KeyValueCache cache = model.NewCache(texts.Length, 17 + 25);
        for (int i = 0; i < 25; i++)
        {
            using var scope = NewDisposeScope();
            float[] logits = (i == 0 ? model.Read(texts, cache) : model.Read([.. texts.Select(t => t[^1])], cache)).flatten().data<float>().ToArray();
            float[] whole = [.. texts.SelectMany(t => model.Logits(t)[^model.Config.VocabSize..])];
            double apart = logits.Zip(whole, (a, b) => Math.Abs(a - b)).Max(), largest = whole.Max(Math.Abs);
            Assert.True(apart <= 1e-5 * Math.Max(1, largest), $"{name}, token {i}: {apart} apart, of {largest}");
            if (i == 6)
            {
                // One text ends.
                cache.Keep([0, 2]);
                texts = [texts[0], texts[2]];
            }

            foreach (List<int> text in texts)
                text.Add(random.Next(model.Config.VocabSize));
        }
    }

    [Fact]
    public void Texts_continued_together_are_those_continued_alone()
    {
        using LanguageModel model = FamilyModel("mistral");
        int[][] prompts = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15, 16, 17]];
        var spec = new GenerationSpec(20, NoEnd, new SamplingSpec());
        int[][] alone = [.. prompts.Select(p => new TextGenerator(model, spec).Continue(p, Cancellation))];
        // Ends where the first has its seventh token, the second where whoever takes it wants no more.
        int end = alone[0][6];
        var together = prompts.Select(_ => new List<int>()).ToArray();
        EndReason[] reasons = new TextGenerator(model, spec with { EndIds = new HashSet<int> { end } }).Run(prompts, (text, id) =>
        {
            together[text].Add(id);
            return text != 1 || together[1].Count < 3;
        }, Cancellation);
        int[] Until(int[] ids) => [.. ids.TakeWhile(id => id != end)];
        Assert.Equal(Until(alone[0]), together[0]);
        Assert.Equal(EndReason.EndOfText, reasons[0]);
        Assert.Equal(Until(alone[1][..3]), together[1]);
        Assert.Equal(Until(alone[2]), together[2]);
        Assert.Equal(together[2].Count == 20 ? EndReason.Length : EndReason.EndOfText, reasons[2]);
    }

    [Fact]
    public void A_seed_gives_the_same_text_again_and_another_seed_another()
    {
        using LanguageModel model = FamilyModel("llama 2, rope_theta");
        int[] Text(long seed) => new TextGenerator(model, new GenerationSpec(30, NoEnd, new SamplingSpec { Temperature = 1, TopP = 0.95, Seed = seed })).Continue([3, 4], Cancellation);
        Assert.Equal(Text(1), Text(1));
        Assert.NotEqual(Text(1), Text(2));
    }

    [Theory]
    [InlineData(1, 0, 1, 0)]
    [InlineData(0.7, 0, 1, 0)]
    [InlineData(1.3, 5, 1, 0)]
    [InlineData(1, 0, 0.6, 0)]
    [InlineData(1, 0, 0.999, 0)]
    [InlineData(1.5, 0, 1, 0.2)]
    [InlineData(0.8, 12, 0.7, 0.1)]
    [InlineData(1, 1, 0.01, 0.9)]
    public void What_may_be_drawn_is_what_the_definitions_leave(double temperature, int topK, double topP, double minP)
    {
        var random = new Random(9);
        var spec = new SamplingSpec { Temperature = temperature, TopK = topK, TopP = topP, MinP = minP };
        for (int round = 0; round < 20; round++)
        {
            float[] logits = [.. Enumerable.Range(0, 50).Select(_ => (float)(4 * random.NextDouble()))];
            // Several that are equally probable.
            logits[7] = logits[8] = logits[9];
            Dictionary<int, double> expected = Naive(logits, spec);
            List<(int Id, double Probability)> actual = new TokenSampler(spec).Candidates(logits);
            Assert.Equal(expected.Keys.Order(), actual.Select(c => c.Id).Order());
            Assert.All(actual, c => Assert.Equal(expected[c.Id], c.Probability, 1e-9));
        }
    }

    [Fact]
    public void Tokens_are_drawn_as_often_as_they_are_probable()
    {
        float[] logits = [0, 1, 2, 0.5f];
        var spec = new SamplingSpec { Temperature = 1, Seed = 3 };
        var sampler = new TokenSampler(spec);
        const int draws = 40_000;
        int[] counts = new int[logits.Length];
        for (int i = 0; i < draws; i++)
            counts[sampler.Next(logits.ToArray(), NoEnd, i % 7, i)]++;
        Dictionary<int, double> expected = Naive(logits, spec);
        // Five deviations of a binomial count.
        Assert.All(Enumerable.Range(0, 4), id => Assert.InRange(counts[id], (expected[id] * draws) - Margin(expected[id]), (expected[id] * draws) + Margin(expected[id])));
        static double Margin(double p) => 5 * Math.Sqrt(draws * p * (1 - p));
    }

    [Fact]
    public void A_penalty_makes_tokens_of_the_text_less_likely()
    {
        var sampler = new TokenSampler(new SamplingSpec { RepetitionPenalty = 2 });
        Assert.Equal(2, sampler.Next([-3, 4, 3], new HashSet<int> { 1 }, 0, 0));
        Assert.Equal(0, sampler.Next([-3, -4, -2], new HashSet<int> { 2 }, 0, 0));
    }

    [Fact]
    public void Settings_that_cannot_be_are_all_named() =>
        Assert.Equal(5, new SamplingSpec { Temperature = -1, TopK = -1, TopP = 0, MinP = 1, RepetitionPenalty = 0 }.Problems().Count());

    // transformers' processors, one after the other, each over the softmax of what the one before left.
    private static Dictionary<int, double> Naive(float[] logits, SamplingSpec spec)
    {
        Dictionary<int, double> scores = logits.Select((l, i) => (l, i)).ToDictionary(p => p.i, p => p.l / spec.Temperature);
        Dictionary<int, double> Softmax()
        {
            double sum = scores.Values.Sum(Math.Exp);
            return scores.ToDictionary(p => p.Key, p => Math.Exp(p.Value) / sum);
        }

        if (spec.TopK > 0)
        {
            double least = scores.Values.OrderDescending().ElementAt(Math.Min(spec.TopK, scores.Count) - 1);
            scores = scores.Where(p => p.Value >= least).ToDictionary();
        }

        Dictionary<int, double> probabilities = Softmax();
        double before = 0;
        foreach ((int id, double probability) in probabilities.OrderByDescending(p => p.Value).ThenBy(p => p.Key))
        {
            if (before >= spec.TopP)
                scores.Remove(id);
            before += probability;
        }

        probabilities = Softmax();
        double largest = probabilities.Values.Max();
        scores = scores.Where(p => probabilities[p.Key] >= spec.MinP * largest).ToDictionary();
        return Softmax();
    }

    private static LanguageModel FamilyModel(string name)
    {
        // Beyond this length dynamic frequencies would turn all keys anew: see KeyValueCache.
        LlamaConfig config = FamilyParityTests.ConfigOf(name, "given") with { MaxPositionEmbeddings = 64 };
        var model = new LanguageModel(config, Precision.Fp32, threads: 1);
        model.LoadWeights((weight, values) => FamilyParityTests.Values(weight.Name, weight.Count).CopyTo(values));
        return model;
    }
}
