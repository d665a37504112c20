using CsCheck;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Testing;

namespace Drover.Formats.Tests.Checkpoints;

public sealed class CheckpointRoundTripTests : IDisposable
{
    private const string Prefix = "runs/r/checkpoints/step-00000001";
    private const string Config = """{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":8,"hidden_size":4,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2}""";
    private readonly TemporaryFolder _folder = new();
    private readonly FolderObjectStore _store;

    public CheckpointRoundTripTests() => _store = new FolderObjectStore(_folder.Path);

    public void Dispose() => _folder.Dispose();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Any_box_of_a_tensor_cut_in_any_way_reads_as_it_was()
    {
        Gen<(long[] Shape, long[][] Cuts, int Ranks, int Seed)> cases =
            from rank in Gen.Int[0, 4]
            from shape in Gen.Long[1, 7].Array[rank]
            from cuts in Gen.Long[0, 7].Array[0, 3].Array[rank]
            from ranks in Gen.Int[1, 4]
            from seed in Gen.Int[0, 1 << 20]
            select (shape, cuts, ranks, seed);
        // One thread: all cases write the same checkpoint.
        await cases.SampleAsync(async c => await CheckAsync(c.Shape, c.Cuts, c.Ranks, new Random(c.Seed)), iter: 150, threads: 1);
    }

    [Fact]
    public async Task A_tensor_larger_than_the_buffers_reads_as_it_was()
    {
        // 1,100 x 1,000 floats are 4.4 MB: several chunks on both sides, and column slices that do not end at a chunk.
        await CheckAsync([1100, 1000], [[300], [333, 700]], 3, new Random(1));
    }

    private async Task CheckAsync(long[] shape, long[][] cuts, int ranks, Random random)
    {
        float[] values = [.. Enumerable.Range(0, (int)shape.Aggregate(1L, (a, b) => a * b)).Select(i => (float)i)];
        var slices = Enumerable.Range(0, ranks).Select(_ => new List<CheckpointSlice>()).ToList();
        foreach ((long[] offset, long[] extent) in Grid(shape, cuts))
            slices[random.Next(ranks)].Add(new CheckpointSlice(LogicalTensor.Weight, "w", shape, offset, extent, (first, target) => Cut(values, shape, offset, extent).AsSpan((int)first, target.Length).CopyTo(target)));
        CheckpointReader reader = await PublishAsync(slices);
        for (int i = 0; i < 5; i++)
        {
            long[] offset = [.. shape.Select(d => random.NextInt64(d))];
            long[] extent = [.. shape.Select((d, n) => 1 + random.NextInt64(d - offset[n]))];
            float[] expected = Cut(values, shape, offset, extent);
            float[] actual = new float[expected.Length];
            await reader.ReadAsync(LogicalTensor.Weight, "w", offset, extent, actual, Cancellation);
            Assert.Equal(expected, actual);
        }

        float[] whole = new float[values.Length];
        await reader.ReadAsync(LogicalTensor.Weight, "w", whole, Cancellation);
        Assert.Equal(values, whole);
    }

    [Fact]
    public async Task Slices_that_overlap_are_refused()
    {
        WrittenShard a = await CheckpointWriter.WriteShardAsync(_store, Prefix, 0, [Box([4], [0], [3])], Cancellation);
        WrittenShard b = await CheckpointWriter.WriteShardAsync(_store, Prefix, 1, [Box([4], [2], [2])], Cancellation);
        DroverException e = Assert.Throws<DroverException>(() => CheckpointWriter.Assemble([a, b]));
        Assert.Contains("overlap", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_hole_between_slices_is_refused()
    {
        WrittenShard a = await CheckpointWriter.WriteShardAsync(_store, Prefix, 0, [Box([4], [0], [2]), Box([4], [3], [1])], Cancellation);
        DroverException e = Assert.Throws<DroverException>(() => CheckpointWriter.Assemble([a]));
        Assert.Contains("3 of its 4 elements", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_slice_outside_its_tensor_is_refused()
    {
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => CheckpointWriter.WriteShardAsync(_store, Prefix, 0, [Box([4], [3], [2])], Cancellation));
        Assert.Equal(FailureCode.Internal, e.Code);
    }

    [Fact]
    public async Task What_is_not_published_is_not_found_and_says_so()
    {
        DroverException absent = await Assert.ThrowsAsync<DroverException>(() => CheckpointReader.OpenAsync(_store, Prefix, Cancellation));
        Assert.Equal(FailureCode.NotFound, absent.Code);
        await CheckpointWriter.WritePendingAsync(_store, Prefix, Manifest([], []), Cancellation);
        DroverException pending = await Assert.ThrowsAsync<DroverException>(() => CheckpointReader.OpenAsync(_store, Prefix, Cancellation));
        Assert.Equal(FailureCode.NotFound, pending.Code);
        Assert.Contains("not published", pending.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("{\"version\":1,")]
    public async Task A_damaged_manifest_is_data_loss(string text)
    {
        await _store.PutTextAsync($"{Prefix}/manifest.json", text, Cancellation);
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => CheckpointReader.OpenAsync(_store, Prefix, Cancellation));
        Assert.Equal(FailureCode.DataLoss, e.Code);
        Assert.Contains(Prefix, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_shard_that_went_missing_is_data_loss_naming_it()
    {
        CheckpointReader reader = await PublishAsync([[Box([4], [0], [4])]]);
        await _store.DeleteAsync($"{Prefix}/shard-00000.safetensors", Cancellation);
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => reader.ReadAsync(LogicalTensor.Weight, "w", new float[4], Cancellation));
        Assert.Equal(FailureCode.DataLoss, e.Code);
        Assert.Contains("shard-00000.safetensors", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Writing_a_published_checkpoint_again_takes_it_back_first()
    {
        await PublishAsync([[Box([4], [0], [4])]]);
        await CheckpointWriter.WriteShardAsync(_store, Prefix, 0, [Box([4], [0], [4])], Cancellation);
        await Assert.ThrowsAsync<DroverException>(() => CheckpointReader.OpenAsync(_store, Prefix, Cancellation));
    }

    [Fact]
    public async Task The_record_of_a_shard_survives_its_journey_as_text()
    {
        WrittenShard written = await CheckpointWriter.WriteShardAsync(_store, Prefix, 2, [Box([4, 2], [1, 0], [2, 2])], Cancellation);
        WrittenShard again = WrittenShard.FromJson(written.ToJson());
        Assert.Equal(written.Shard, again.Shard);
        Assert.Equivalent(written.Slices, again.Slices, strict: true);
        Assert.Equal("weight/w@1,0", again.Slices[0].Slice.Key);
    }

    [Fact]
    public void A_loss_that_is_not_a_number_survives()
    {
        CheckpointManifest manifest = Manifest([], []) with { Loss = double.NaN };
        byte[] json = System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(manifest, CheckpointManifestJson.Default.CheckpointManifest);
        Assert.True(double.IsNaN(CheckpointReader.ParseManifest(json, "m").Loss));
    }

    private async Task<CheckpointReader> PublishAsync(List<List<CheckpointSlice>> slicesOfRanks)
    {
        var written = new List<WrittenShard>();
        for (int rank = 0; rank < slicesOfRanks.Count; rank++)
            written.Add(await CheckpointWriter.WriteShardAsync(_store, Prefix, rank, slicesOfRanks[rank], Cancellation));
        (IReadOnlyList<CheckpointShard> shards, IReadOnlyList<LogicalTensor> tensors) = CheckpointWriter.Assemble(written);
        await CheckpointWriter.WritePendingAsync(_store, Prefix, Manifest(shards, tensors), Cancellation);
        byte[] pending = await _store.ReadAllBytesAsync($"{Prefix}/{CheckpointManifest.PendingFileName}", Cancellation);
        await _store.PutBytesAsync($"{Prefix}/{CheckpointManifest.FileName}", pending, PutCondition.None, Cancellation);
        return await CheckpointReader.OpenAsync(_store, Prefix, Cancellation);
    }

    private static CheckpointManifest Manifest(IReadOnlyList<CheckpointShard> shards, IReadOnlyList<LogicalTensor> tensors) => new()
    {
        Run = "r",
        Step = 1,
        RowsConsumed = 8,
        TokensSeen = 64,
        Loss = 2.5,
        ModelConfig = Config,
        RunSpec = "{}",
        Dataset = "datasets/d",
        DatasetHash = "",
        TokenizerHash = "",
        Shards = shards,
        Tensors = tensors,
    };

    private static CheckpointSlice Box(long[] shape, long[] offset, long[] extent) =>
        new(LogicalTensor.Weight, "w", shape, offset, extent, (_, target) => target.Fill(1));

    /// <summary>All boxes of the grid that the cuts make.</summary>
    private static IEnumerable<(long[] Offset, long[] Extent)> Grid(long[] shape, long[][] cuts)
    {
        IEnumerable<(long[] Offset, long[] Extent)> boxes = [([], [])];
        for (int d = 0; d < shape.Length; d++)
        {
            long[] edges = [.. cuts[d].Where(c => c > 0 && c < shape[d]).Append(0).Append(shape[d]).Distinct().Order()];
            boxes = [.. boxes.SelectMany(b => edges.Zip(edges.Skip(1)).Select(e => ((long[])[.. b.Offset, e.First], (long[])[.. b.Extent, e.Second - e.First])))];
        }

        return boxes;
    }

    /// <summary>The slow and obvious way: every index by itself.</summary>
    private static float[] Cut(float[] values, long[] shape, long[] offset, long[] extent)
    {
        long count = extent.Aggregate(1L, (a, b) => a * b);
        float[] result = new float[count];
        for (long i = 0; i < count; i++)
        {
            long rest = i, position = 0, stride = 1;
            for (int d = shape.Length - 1; d >= 0; d--)
            {
                position += ((rest % extent[d]) + offset[d]) * stride;
                rest /= extent[d];
                stride *= shape[d];
            }

            result[i] = values[position];
        }

        return result;
    }
}
