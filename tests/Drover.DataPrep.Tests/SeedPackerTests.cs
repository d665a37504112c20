using System.Text;
using Drover.DataPrep.Building;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;
using Drover.Testing;
using Drover.Tokenization;

namespace Drover.DataPrep.Tests;

public sealed class SeedPackerTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static readonly string[] ThreeFiles = ["text_en/c4_demo.jsonl", "text_zh/chinese_classics.jsonl", "text_zh/colossalai_docs_zh.jsonl"];

    // The seed's own packer, run on these files, kept 2,798,442 of 3,100,818 tokens in 1,512 rows.
    [Fact]
    public async Task On_three_real_files_the_seed_loses_a_tenth_and_best_fit_nothing()
    {
        (DatasetManifest seed, _) = await BuildAsync(Packing.Seed, ThreeFiles);
        (DatasetManifest ours, string text) = await BuildAsync(Packing.BestFit, ThreeFiles);
        Tell(seed, ours, text);
        // Three of its documents are empty, and come as BOS and EOS.
        Assert.Equal(ours.TokensIn + 6, seed.TokensIn);
        Assert.Equal(3_100_818, seed.TokensIn);
        Assert.Equal(2_798_442, seed.TokensInRows);
        Assert.Equal(1512, seed.Rows);
        Assert.Equal(seed.TokensIn, seed.TokensInRows + seed.TokensRejected);
        Assert.Equal(ours.TokensIn, ours.TokensInRows);
        Assert.True(ours.TokensInRows >= 0.995 * 2048 * ours.Rows);
    }

    [Fact]
    public async Task On_all_texts_rows_are_full_and_the_sums_balance_in_each_category()
    {
        string[] files = [.. ThreeFiles, "text_en/wiki.test.raw", "text_en/tinyshakespeare.txt"];
        (DatasetManifest seed, string text) = await BuildAsync(Packing.Seed, files);
        (DatasetManifest ours, _) = await BuildAsync(Packing.BestFit, files);
        Tell(seed, ours, text);
        Assert.True(ours.TokensInRows >= 0.995 * 2048 * ours.Rows);
        foreach (DatasetManifest manifest in (DatasetManifest[])[seed, ours])
        {
            Assert.Equal(manifest.TokensIn, manifest.Categories.Values.Sum(c => c.TokensIn));
            Assert.All(manifest.Categories.Values, c => Assert.Equal(c.TokensIn, c.TokensInRows + c.TokensRejected));
        }
    }

    private static void Tell(DatasetManifest seed, DatasetManifest ours, string rejects) =>
        TestContext.Current.TestOutputHelper?.WriteLine($"seed: {seed.TokensInRows} of {seed.TokensIn} in {seed.Rows} rows, fill {seed.TokensInRows / (2048.0 * seed.Rows):p2}; best fit: {ours.TokensInRows} in {ours.Rows} rows, fill {ours.TokensInRows / (2048.0 * ours.Rows):p2}; {rejects}");

    private static async Task<(DatasetManifest Manifest, string Rejects)> BuildAsync(Packing packing, string[] files)
    {
        string model = SharedData.Require("tokenizers/llama2.tokenizer.model");
        using var folder = new TemporaryFolder();
        var store = new FolderObjectStore(folder.Path);
        await store.PutBytesAsync("tokenizers/t/tokenizer.model", await File.ReadAllBytesAsync(model, Cancellation), PutCondition.None, Cancellation);
        using var harness = new BuildHarness(await TokenizerFolder.LoadAsync(store, "tokenizers/t", Cancellation));
        DatasetSpec spec = BuildTests.Spec("inputs");
        (spec.Packing, spec.MaxLength, spec.TextUnit) = (packing, 2048, TextUnit.Paragraph);
        spec.NumSplicedDatasetBins = packing == Packing.Seed ? 1 : 0;
        int index = 0;
        foreach (string file in files)
        {
            if (!file.EndsWith(".jsonl", StringComparison.Ordinal))
            {
                await harness.PutAsync($"inputs/{index++}.txt", await File.ReadAllBytesAsync(SharedData.Require(file), Cancellation));
                continue;
            }

            // Each file was a category.
            IEnumerable<string> lines = File.ReadLines(SharedData.Require(file)).Select(l => $"{{\"category\":\"{index}\",{l.TrimStart()[1..]}");
            await harness.PutAsync($"inputs/{index++}.jsonl", Encoding.UTF8.GetBytes(string.Join('\n', lines)));
        }

        using PackedDataset dataset = await harness.BuildAsync(spec);
        return (dataset.Manifest, DatasetAssembler.Reasons(dataset.Manifest.Rejects));
    }
}
