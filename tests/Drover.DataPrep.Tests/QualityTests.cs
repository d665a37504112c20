using System.Text;
using Drover.DataPrep.Building;
using Drover.DataPrep.Documents;
using Drover.DataPrep.Quality;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Tests;

public sealed class QualityTests : IDisposable
{
    private readonly BuildHarness _harness = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _harness.Dispose();

    [Theory]
    [InlineData("the cat sat on the mat and it was not for you", "en")]
    [InlineData("der Hund ist in dem Haus und die Katze ist auch nicht da", "de")]
    [InlineData("le chat est dans la maison et les enfants ne sont pas là", "fr")]
    [InlineData("床前明月光，疑是地上霜", "zh")]
    [InlineData("これは日本語の文章です", "ja")]
    [InlineData("이것은 한국어 문장입니다", "ko")]
    [InlineData("это русский текст", "ru")]
    [InlineData("zzz qqq xxx", "other")]
    [InlineData("12345 !!!", "other")]
    public void Languages_are_told_by_script_and_common_words(string text, string language) => Assert.Equal(language, Language.Of(text));

    [Theory]
    [InlineData("short", "TOO_FEW_CHARACTERS")]
    [InlineData("this one is just a little longer than what is wanted here", "TOO_MANY_CHARACTERS")]
    [InlineData("!!!??? ---- ****", "TOO_FEW_WORD_CHARACTERS")]
    [InlineData("abc 123456789", "TOO_MANY_DIGITS")]
    [InlineData("again\nagain\nagain", "REPEATED_LINES")]
    [InlineData("床前明月光疑是地上霜", "OTHER_LANGUAGE")]
    [InlineData("the good one of them", null)]
    public void Each_rule_refuses_with_its_reason(string text, string? reason)
    {
        var filter = new QualityFilter(new QualityFilters { MinCharacters = 10, MaxCharacters = 40, MinWordCharacterRatio = 0.5, MaxDigitRatio = 0.5, MaxRepeatedLineRatio = 0.5, Languages = { "en", "other" } });
        Assert.Equal(reason, filter.Refuse(PretrainText.Of("", text, "c"))?.Reason);
    }

    [Fact]
    public void Signatures_estimate_the_similarity_of_shingles()
    {
        var random = new Random(3);
        string Words(int count) => string.Join(' ', Enumerable.Range(0, count).Select(_ => "w" + random.Next(1_000_000)));
        foreach (double share in new[] { 0.2, 0.5, 0.8, 0.95 })
        {
            int common = 2000, own = (int)(common * (1 - share) / (2 * share));
            string head = Words(common);
            double found = MinHash.Similarity(MinHash.Of(head + " " + Words(own)), MinHash.Of(head + " " + Words(own)));
            Assert.InRange(found, share - 0.15, share + 0.15);
        }

        Assert.Equal(1, MinHash.Similarity(MinHash.Of("One, two; three four five six!"), MinHash.Of("one TWO three\nfour five six")));
        Assert.Equal(MinHash.Of("床前明月光，疑是地上霜。"), MinHash.Of("床前明月光疑是地上霜"));
    }

    [Fact]
    public async Task Duplicates_go_across_tasks_and_files_and_the_first_stays_whatever_the_task_size()
    {
        string[] kept = [];
        foreach (long taskBytes in new[] { 0L, 900L, 3000L })
        {
            using var harness = new BuildHarness();
            await PutCorpusAsync(harness);
            using PackedDataset dataset = await DeduplicateAsync(harness, Spec(taskBytes));
            DatasetManifest manifest = dataset.Manifest;
            Assert.Equal(62, manifest.LinesIn);
            Assert.Equal(40, manifest.Documents);
            Assert.Equal((20, 2), (manifest.Rejects["DUPLICATE"].Entries, manifest.Rejects["NEAR_DUPLICATE"].Entries));
            Assert.Equal(manifest.TokensIn, manifest.TokensInRows + manifest.TokensRejected);
            Assert.All(harness.Rejects(), r => Assert.Equal("inputs/b.jsonl", r.GetProperty("source").GetString()));
            string[] texts = [.. Texts(harness, dataset)];
            Assert.True(kept.Length == 0 || kept.SequenceEqual(texts));
            kept = texts;
        }
    }

    [Fact]
    public async Task Kept_texts_of_rejects_are_there_when_asked_for()
    {
        await PutCorpusAsync(_harness);
        DatasetSpec spec = Spec(0);
        spec.KeepRejectedText = true;
        (await DeduplicateAsync(_harness, spec)).Dispose();
        Assert.Contains(_harness.Rejects(), r => r.GetProperty("text").GetString() == Text(0, 3));
    }

    private static DatasetSpec Spec(long taskBytes)
    {
        DatasetSpec spec = BuildTests.Spec("inputs");
        (spec.TaskBytes, spec.MaxLength) = (taskBytes, 4096);
        spec.Deduplication = new Deduplication { Exact = true, NearThreshold = 0.7 };
        return spec;
    }

    private static IEnumerable<string> Texts(BuildHarness harness, PackedDataset dataset)
    {
        var texts = new List<string>();
        for (long id = 0; id < dataset.RowCount; id++)
        {
            PackedRow row = dataset.Read(id);
            int at = 0;
            foreach (int length in row.DocumentLengths)
            {
                texts.Add(harness.Tokenizer.Decode(row.InputIds[at..(at + length)], true));
                at += length;
            }
        }

        return texts.Order(StringComparer.Ordinal);
    }

    // 40 documents; then 20 of them again, and two with a word changed.
    private static async Task PutCorpusAsync(BuildHarness harness)
    {
        static byte[] Lines(IEnumerable<string> texts) => Encoding.UTF8.GetBytes(string.Concat(texts.Select(t => $$"""{"text":"{{t}}"}""" + "\n")));
        string[] first = [.. Enumerable.Range(0, 40).Select(i => Text(i, 3))];
        await harness.PutAsync("inputs/a.jsonl", Lines(first));
        await harness.PutAsync("inputs/b.jsonl", Lines([.. first.Take(20), first[30].Replace("w7 ", "other ", StringComparison.Ordinal), first[31] + " and"]));
    }

    private static string Text(int document, int step) => string.Join(' ', Enumerable.Range(0, 60).Select(i => $"w{i} d{(document * 1000) + (i * step)}"));

    private static async Task<PackedDataset> DeduplicateAsync(BuildHarness harness, DatasetSpec spec)
    {
        BuildPlan plan = await harness.PlanAsync(spec);
        string[] signatures = [.. (await harness.RunAsync(plan, TaskPhase.Signatures)).Select(r => r.Signatures!.File)];
        await new DuplicateFinder(harness.Store, plan, harness.Folder["work"]).RunAsync([], [.. signatures.Select(f => ObjectKey.Join(plan.Dataset, f))], Cancellation);
        await new DatasetAssembler(harness.Store).PublishAsync(plan, await harness.RunAsync(plan), signatures, Cancellation);
        return await PackedDataset.OpenAsync(harness.Store, plan.Dataset, harness.Folder["cache"], Cancellation);
    }
}
