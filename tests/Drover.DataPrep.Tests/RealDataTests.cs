using System.Text.Json;
using Drover.DataPrep.Building;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;
using Drover.Testing;
using Drover.Tokenization;

namespace Drover.DataPrep.Tests;

/// <summary>Real text and conversations with the real LLaMA-2 vocabulary.</summary>
public sealed class RealDataTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("text_en/c4_demo.jsonl", 2048)]
    [InlineData("text_zh/chinese_classics.jsonl", 2048)]
    [InlineData("text_zh/colossalai_docs_zh.jsonl", 512)]
    [InlineData("text_en/tinyshakespeare.txt", 2048)]
    [InlineData("text_en/wiki.test.raw", 2048)]
    [InlineData("sft/alpaca_zh_demo.json", 512)]
    [InlineData("sft/glaive_toolcall_en_demo.json", 512)]
    [InlineData("sft/identity.json", 256)]
    public async Task Every_token_that_comes_in_is_in_a_row_or_listed_as_rejected(string file, int maxLength)
    {
        string path = SharedData.Require(file);
        string model = SharedData.Require("tokenizers/llama2.tokenizer.model");
        byte[] input = await File.ReadAllBytesAsync(path, Cancellation);
        if (!file.Contains(".json", StringComparison.Ordinal))
            input = Paragraphs(input);
        using var source = new TemporaryFolder();
        var store = new FolderObjectStore(source.Path);
        await store.PutBytesAsync("tokenizers/llama2/tokenizer.model", await File.ReadAllBytesAsync(model, Cancellation), PutCondition.None, Cancellation);
        ITextTokenizer tokenizer = await TokenizerFolder.LoadAsync(store, "tokenizers/llama2", Cancellation);
        using var harness = new BuildHarness(tokenizer);
        string key = file.EndsWith(".json", StringComparison.Ordinal) ? "inputs/a.json" : "inputs/a.jsonl";
        await harness.PutAsync(key, input);
        DatasetSpec spec = BuildTests.Spec(key);
        spec.Format = file.StartsWith("sft", StringComparison.Ordinal) ? DatasetFormat.Sft : DatasetFormat.Pretrain;
        spec.MaxLength = maxLength;
        spec.TaskBytes = 1 << 20;
        BuildPlan plan = await harness.PlanAsync(spec);
        List<CompletionRecord> records = await harness.RunAsync(plan);
        DatasetManifest manifest = await new DatasetAssembler(harness.Store).PublishAsync(plan, records, [], Cancellation);

        using PackedDataset dataset = await PackedDataset.OpenAsync(harness.Store, "datasets/d", harness.Folder["cache"], Cancellation);
        long tokens = 0;
        long labels = 0;
        for (long id = 0; id < dataset.RowCount; id++)
        {
            PackedRow row = dataset.Read(id);
            Assert.InRange(row.InputIds.Length, 1, maxLength);
            Assert.Equal(row.InputIds.Length, row.DocumentLengths.Sum());
            Assert.All(row.InputIds, i => Assert.InRange(i, 0, tokenizer.VocabularySize - 1));
            Assert.Equal(PackedRow.Ignored, row.Labels[0]);
            tokens += row.InputIds.Length;
            labels += row.Labels.Count(l => l != PackedRow.Ignored);
        }

        long listed = harness.Rejects().Sum(r => r.GetProperty("tokens").GetInt64());
        Assert.Equal(manifest.TokensInRows, tokens);
        Assert.Equal(manifest.LabelTokens, labels);
        Assert.Equal(manifest.TokensRejected, listed);
        Assert.Equal(manifest.TokensIn, tokens + listed);
        Assert.Equal(manifest.LinesIn, manifest.Documents + manifest.LinesRejected);
        double fill = (double)tokens / (dataset.RowCount * (double)maxLength);
        TestContext.Current.TestOutputHelper?.WriteLine($"{file}: lines {manifest.LinesIn}, rejected {manifest.LinesRejected} ({DatasetAssembler.Reasons(manifest.Rejects)}); tokens {manifest.TokensIn} = {tokens} + {listed}; labels {labels}; rows {dataset.RowCount}, fill {fill:p2}");
        if (Environment.GetEnvironmentVariable("DROVER_KEEP_DATASETS") is { } keep)
            Copy(Path.Combine(harness.Folder["objects"], "datasets/d"), Path.Combine(keep, Path.GetFileNameWithoutExtension(file)));
    }

    // A text file as one line a paragraph.
    private static byte[] Paragraphs(byte[] text)
    {
        using var lines = new MemoryStream();
        foreach (string paragraph in System.Text.Encoding.UTF8.GetString(text).Split("\n\n"))
        {
            lines.Write(JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, string> { ["text"] = paragraph }));
            lines.WriteByte((byte)'\n');
        }

        return lines.ToArray();
    }

    private static void Copy(string from, string to)
    {
        foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target, overwrite: true);
        }
    }
}
