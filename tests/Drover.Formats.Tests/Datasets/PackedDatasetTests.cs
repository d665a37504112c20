using System.IO.Hashing;
using System.Security.Cryptography;
using System.Text.Json;
using CsCheck;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Testing;

namespace Drover.Formats.Tests.Datasets;

public sealed class PackedDatasetTests : IDisposable
{
    private const string Prefix = "datasets/mine";
    private readonly TemporaryFolder _folder = new();
    private readonly FolderObjectStore _store;

    public PackedDatasetTests() => _store = new FolderObjectStore(_folder["objects"]);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Rows_come_back_by_their_global_id_across_shards_and_batches()
    {
        PackedRow[] rows = [.. Enumerable.Range(0, 700).Select(Row)];
        // An empty shard in the middle: a task whose lines were all rejected.
        await StoreAsync(rows[..300], [], rows[300..]);
        using PackedDataset dataset = await OpenAsync();
        Assert.Equal(700, dataset.RowCount);
        foreach (int id in new[] { 699, 0, 255, 256, 299, 300, 555, 556 })
            AssertSame(rows[id], dataset.Read(id));
    }

    [Fact]
    public void Any_rows_survive_writing_and_reading() =>
        Gen.Int[0, 40].Array[0, 20].Select(g => g.Chunk(3).Select(c => Row(c)).ToArray()).Sample(rows =>
        {
            string path = _folder[Guid.NewGuid().ToString("N")];
            File.WriteAllBytes(path, Shard(rows));
            using ArrowShard shard = ArrowShard.Open(path, "shard");
            Assert.Equal(rows.Length, shard.Rows);
            for (int i = 0; i < rows.Length; i++)
                AssertSame(rows[i], shard.Read(i));
        }, iter: 50);

    [Fact]
    public void The_same_rows_give_the_same_bytes()
    {
        PackedRow[] rows = [.. Enumerable.Range(0, 300).Select(Row)];
        Assert.Equal(Shard(rows), Shard(rows));
    }

    [Fact]
    public async Task The_manifest_hash_is_that_of_the_stored_bytes()
    {
        await StoreAsync([Row(1)]);
        using PackedDataset dataset = await OpenAsync();
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(_folder["objects/datasets/mine/manifest.json"]))), dataset.ManifestHash);
    }

    [Fact]
    public async Task A_flipped_byte_in_a_shard_is_data_loss_that_names_it()
    {
        await StoreAsync([Row(1)], [Row(2)]);
        string path = _folder["objects/datasets/mine/data-1.arrow"];
        byte[] bytes = File.ReadAllBytes(path);
        bytes[^20] ^= 1;
        File.WriteAllBytes(path, bytes);
        using PackedDataset dataset = await OpenAsync();
        AssertSame(Row(1), dataset.Read(0));
        DroverException e = Assert.Throws<DroverException>(() => dataset.Read(1));
        Assert.Equal(FailureCode.DataLoss, e.Code);
        Assert.Contains("datasets/mine/data-1.arrow", e.Message, StringComparison.Ordinal);
        Assert.Single(Directory.GetFiles(_folder["cache"]));
        // Mended, the same reader reads it.
        bytes[^20] ^= 1;
        File.WriteAllBytes(path, bytes);
        AssertSame(Row(2), dataset.Read(1));
    }

    [Fact]
    public async Task A_missing_shard_is_data_loss_and_a_missing_dataset_not_found()
    {
        await StoreAsync([Row(1)]);
        File.Delete(_folder["objects/datasets/mine/data-0.arrow"]);
        Assert.Equal(FailureCode.DataLoss, (await Assert.ThrowsAsync<DroverException>(OpenAsync)).Code);
        File.Delete(_folder["objects/datasets/mine/manifest.json"]);
        Assert.Equal(FailureCode.NotFound, (await Assert.ThrowsAsync<DroverException>(OpenAsync)).Code);
    }

    [Fact]
    public async Task A_damaged_file_of_the_cache_is_brought_again()
    {
        await StoreAsync([Row(1)]);
        using (PackedDataset first = await OpenAsync())
            first.Read(0);
        string cached = Assert.Single(Directory.GetFiles(_folder["cache"]));
        byte[] flipped = File.ReadAllBytes(cached);
        flipped[^9] ^= 1;
        foreach (byte[] damaged in new byte[][] { [1, 2, 3], flipped })
        {
            File.WriteAllBytes(cached, damaged);
            using PackedDataset dataset = await OpenAsync();
            AssertSame(Row(1), dataset.Read(0));
        }
    }

    [Fact]
    public async Task Rows_outside_are_refused_and_a_shard_with_other_rows_than_promised_too()
    {
        await StoreAsync([Row(1)]);
        using (PackedDataset dataset = await OpenAsync())
            Assert.Equal(FailureCode.OutOfRange, Assert.Throws<DroverException>(() => dataset.Read(1)).Code);
        string manifest = _folder["objects/datasets/mine/manifest.json"];
        File.WriteAllText(manifest, File.ReadAllText(manifest).Replace("\"rows\": 1", "\"rows\": 2", StringComparison.Ordinal));
        using PackedDataset lying = await OpenAsync();
        Assert.Equal(FailureCode.DataLoss, Assert.Throws<DroverException>(() => lying.Read(1)).Code);
    }

    [Fact]
    public async Task Only_what_is_read_or_announced_is_brought_and_once()
    {
        await StoreAsync([.. Enumerable.Range(0, 700).Select(Row)], [Row(1)]);
        using (PackedDataset dataset = await OpenAsync())
        {
            Assert.Empty(Directory.GetFiles(_folder["cache"]));
            AssertSame(Row(300), dataset.Read(300));
            AssertSame(Row(301), dataset.Read(301));
            Assert.Single(Directory.GetFiles(_folder["cache"]));
            dataset.Prefetch([700, 0, 5]);
            AssertSame(Row(5), dataset.Read(5));
            AssertSame(Row(1), dataset.Read(700));
            Assert.Equal(3, Directory.GetFiles(_folder["cache"]).Length);
        }

        // What is in the cache is not asked of the store again.
        byte[] empty = new byte[new FileInfo(_folder["objects/datasets/mine/data-0.arrow"]).Length];
        File.WriteAllBytes(_folder["objects/datasets/mine/data-0.arrow"], empty);
        using PackedDataset again = await OpenAsync();
        AssertSame(Row(300), again.Read(300));
        Assert.Equal(FailureCode.DataLoss, Assert.Throws<DroverException>(() => again.Read(699)).Code);
    }

    [Fact]
    public void Bytes_that_are_no_arrow_stream_are_data_loss()
    {
        string path = _folder["noise"];
        foreach (byte[] bytes in new byte[][] { [.. Shard([Row(3)]).Take(400)], [0xff, 0xff, 0xff, 0xff, 0x10, 0, 0, 0, 9, 9], "not arrow at all, but text"u8.ToArray() })
        {
            File.WriteAllBytes(path, bytes);
            DroverException e = Assert.Throws<DroverException>(() => ArrowShard.Open(path, "the-shard"));
            Assert.Equal(FailureCode.DataLoss, e.Code);
            Assert.Contains("the-shard", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void State_and_info_hold_every_key_that_load_from_disk_indexes()
    {
        using var state = JsonDocument.Parse(HuggingFaceDatasetFiles.State(["data-0.arrow"], "abc"));
        Assert.Equal(
            ["_data_files", "_fingerprint", "_format_columns", "_format_kwargs", "_format_type", "_output_all_columns", "_split"],
            state.RootElement.EnumerateObject().Select(p => p.Name));
        Assert.Equal("data-0.arrow", state.RootElement.GetProperty("_data_files")[0].GetProperty("filename").GetString());
        using var info = JsonDocument.Parse(HuggingFaceDatasetFiles.Info());
        foreach (string column in new[] { "input_ids", "labels", "document_lengths" })
            Assert.Equal("""{"feature":{"dtype":"int32","_type":"Value"},"_type":"Sequence"}""", JsonSerializer.Serialize(info.RootElement.GetProperty("features").GetProperty(column)));
    }

    private static PackedRow Row(int n)
    {
        int[] ids = [.. Enumerable.Range(n, (n % 7) + 2)];
        int[] labels = [PackedRow.Ignored, .. ids[1..]];
        return new PackedRow(ids, labels, [1, ids.Length - 1]);
    }

    private static PackedRow Row(int[] ids) => new(ids, [.. ids.Select(i => i % 2 == 0 ? i : PackedRow.Ignored)], [ids.Length]);

    private static byte[] Shard(IEnumerable<PackedRow> rows)
    {
        ShardOf(rows, "", out byte[] bytes);
        return bytes;
    }

    private static DatasetShard ShardOf(IEnumerable<PackedRow> rows, string name, out byte[] bytes)
    {
        using var stream = new MemoryStream();
        using var writer = new ArrowRowWriter(stream);
        foreach (PackedRow row in rows)
            writer.Write(row);
        DatasetShard shard = writer.Finish() with { File = name };
        bytes = stream.ToArray();
        return shard;
    }

    private static void AssertSame(PackedRow expected, PackedRow actual)
    {
        Assert.Equal(expected.InputIds, actual.InputIds);
        Assert.Equal(expected.Labels, actual.Labels);
        Assert.Equal(expected.DocumentLengths, actual.DocumentLengths);
    }

    private Task<PackedDataset> OpenAsync() => PackedDataset.OpenAsync(_store, Prefix, _folder["cache"], Cancellation);

    private async Task StoreAsync(params PackedRow[][] shards)
    {
        var listed = new List<DatasetShard>();
        foreach (PackedRow[] rows in shards)
        {
            DatasetShard shard = ShardOf(rows, $"data-{listed.Count}.arrow", out byte[] bytes);
            Assert.Equal((rows.Length, bytes.Length, Convert.ToHexStringLower(XxHash128.Hash(bytes))), (shard.Rows, shard.Bytes, shard.Xxh128));
            await _store.PutBytesAsync(ObjectKey.Join(Prefix, shard.File), bytes, PutCondition.None, Cancellation);
            listed.Add(shard);
        }

        long tokens = shards.Sum(s => s.Sum(r => r.InputIds.Length));
        var manifest = new DatasetManifest
        {
            Format = "pretrain",
            Tokenizer = "tokenizers/t",
            TokenizerHash = "h",
            VocabularySize = 1000,
            SpecHash = "s",
            MaxLength = 16,
            Rows = shards.Sum(s => s.Length),
            Documents = 1,
            TokensIn = tokens,
            TokensInRows = tokens,
            TokensRejected = 0,
            LabelTokens = 1,
            LinesIn = 1,
            LinesRejected = 0,
            TextBytes = 1,
            Sources = [],
            Shards = listed,
        };
        await _store.PutTextAsync(ObjectKey.Join(Prefix, DatasetManifest.FileName), JsonSerializer.Serialize(manifest, DatasetManifestJson.Default.DatasetManifest), Cancellation);
    }
}
