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

    // The seed's own packer, run on these files, kept 2,798,442 of 3,100,818 tokens in 1,512 rows.
    [Fact]
    public async Task On_three_real_files_the_seed_loses_a_tenth_and_best_fit_nothing()
    {
        (DatasetManifest seed, _) = await BuildAsync(Packing.Seed);
        (DatasetManifest ours, string text) = await BuildAsync(Packing.BestFit);
        TestContext.Current.TestOutputHelper?.WriteLine($"seed: {seed.TokensInRows} of {seed.TokensIn} in {seed.Rows} rows, fill {seed.TokensInRows / (2048.0 * seed.Rows):p2}; best fit: {ours.TokensInRows} in {ours.Rows} rows, fill {ours.TokensInRows / (2048.0 * ours.Rows):p2}; {text}");
        // Three of its documents are empty, and come as BOS and EOS.
        Assert.Equal(ours.TokensIn + 6, seed.TokensIn);
        Assert.Equal(3_100_818, seed.TokensIn);
        Assert.Equal(2_798_442, seed.TokensInRows);
        Assert.Equal(1512, seed.Rows);
        Assert.Equal(seed.TokensIn, seed.TokensInRows + seed.TokensRejected);
        Assert.Equal(ours.TokensIn, ours.TokensInRows);
        Assert.True(ours.TokensInRows >= 0.995 * 2048 * ours.Rows);
    }

    private static async Task<(DatasetManifest Manifest, string Rejects)> BuildAsync(Packing packing)
    {
        string model = SharedData.Require("tokenizers/llama2.tokenizer.model");
        using var folder = new TemporaryFolder();
        var store = new FolderObjectStore(folder.Path);
        await store.PutBytesAsync("tokenizers/t/tokenizer.model", await File.ReadAllBytesAsync(model, Cancellation), PutCondition.None, Cancellation);
        using var harness = new BuildHarness(await TokenizerFolder.LoadAsync(store, "tokenizers/t", Cancellation));
        DatasetSpec spec = BuildTests.Spec("inputs");
        (spec.Packing, spec.MaxLength) = (packing, 2048);
        spec.NumSplicedDatasetBins = packing == Packing.Seed ? 1 : 0;
        int index = 0;
        foreach (string file in new[] { "text_en/c4_demo.jsonl", "text_zh/chinese_classics.jsonl", "text_zh/colossalai_docs_zh.jsonl" })
        {
            // Each file was a category.
            IEnumerable<string> lines = File.ReadLines(SharedData.Require(file)).Select(l => $"{{\"category\":\"{index}\",{l.TrimStart()[1..]}");
            await harness.PutAsync($"inputs/{index++}.jsonl", Encoding.UTF8.GetBytes(string.Join('\n', lines)));
        }

        using PackedDataset dataset = await harness.BuildAsync(spec);
        return (dataset.Manifest, DatasetAssembler.Reasons(dataset.Manifest.Rejects));
    }
}
