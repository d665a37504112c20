using System.Text.Json;
using Drover.Formats.Datasets;
using Drover.Testing;

namespace Drover.DataPrep.Tests;

/// <summary>The folder as pyarrow reads it.</summary>
public sealed class ArrowLayoutTests
{
    [Fact]
    public async Task Pyarrow_reads_the_same_rows_under_the_features_that_the_folder_declares()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using ReferenceChroot reference = ReferenceChroot.Require();
        using var harness = new BuildHarness();
        await harness.PutAsync("inputs/a.jsonl", BuildTests.Lines(2000));
        Protocol.DataPrep.V1.DatasetSpec spec = BuildTests.Spec("inputs");
        spec.TaskBytes = 20_000;
        using PackedDataset dataset = await harness.BuildAsync(spec);
        reference.CopyFolder(Path.Combine(harness.Folder["objects"], "datasets/d"), "dataset");
        await reference.RunAsync(Path.Combine(Checkout.Root, "tests", "goldens", "datasets_layout.py"), [reference.Inside("dataset"), reference.Inside("rows.json")], cancellation);
        using var rows = JsonDocument.Parse(await File.ReadAllBytesAsync(reference.Outside("rows.json"), cancellation));
        Assert.Equal(dataset.RowCount, rows.RootElement.GetArrayLength());
        long id = 0;
        foreach (JsonElement row in rows.RootElement.EnumerateArray())
        {
            PackedRow expected = dataset.Read(id++);
            Assert.Equal(expected.InputIds, row.GetProperty("input_ids").Deserialize<int[]>());
            Assert.Equal(expected.Labels, row.GetProperty("labels").Deserialize<int[]>());
            Assert.Equal(expected.DocumentLengths, row.GetProperty("document_lengths").Deserialize<int[]>());
        }
    }
}
