using System.Text.Json;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Grpc.Core;
using static Drover.Checkpoint.Tests.RunningService;
using static Drover.Checkpoint.Tests.TestCheckpoint;

namespace Drover.Checkpoint.Tests;

public sealed class ExportTests : IAsyncLifetime
{
    private RunningService _service = null!;

    public async ValueTask InitializeAsync() => _service = await StartAsync();

    public ValueTask DisposeAsync() => _service.DisposeAsync();

    [Theory]
    [InlineData(ExportDataType.Unspecified, "BF16", 0)]
    [InlineData(ExportDataType.Bf16, "BF16", 2000)]
    [InlineData(ExportDataType.Fp16, "F16", 0)]
    [InlineData(ExportDataType.Fp32, "F32", 3000)]
    [InlineData(ExportDataType.Fp32, "F32", 1)]
    public async Task An_exported_model_holds_the_weights_rounded_once(ExportDataType type, string stored, long shardBytes)
    {
        string checkpoint = await _service.PublishAsync("r", 10);
        Model exported = await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, DataType = type, MaxShardBytes = shardBytes });
        Assert.Equal("models/m", exported.Name);
        HuggingFaceModel model = await HuggingFaceModel.OpenAsync(_service.Store, "models/m", Cancellation);
        var expected = LlamaTensors.All(Config(tied: false)).ToList();
        Assert.Equal(expected.Select(t => t.Name).Order(StringComparer.Ordinal), model.TensorNames);
        foreach ((string name, long[] shape) in expected)
        {
            Assert.Equal((stored, shape.Length), (model.Get(name).DataType, model.Get(name).Shape.Length));
            float[] values = Values(LogicalTensor.Weight, name, shape, 10);
            Assert.Equal(values.Select(v => Round(v, stored)), await ReadAsync(model, name, values.Length));
        }

        bool many = shardBytes > 0;
        Assert.Equal(many, exported.Files.Any(f => f.Path == HuggingFaceModel.IndexFile));
        Assert.Equal(!many, exported.Files.Any(f => f.Path == HuggingFaceModel.SingleShard));
        if (many)
            await CheckIndexAsync(exported, model, shardBytes);
    }

    [Fact]
    public async Task A_tied_head_is_not_in_the_files()
    {
        string checkpoint = await _service.PublishAsync("r", 10, tied: true);
        await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint });
        HuggingFaceModel model = await HuggingFaceModel.OpenAsync(_service.Store, "models/m", Cancellation);
        Assert.False(model.Contains(LlamaTensors.Head));
        Assert.True(model.Contains(LlamaTensors.Embedding));
    }

    [Fact]
    public async Task The_config_says_both_names_of_everything_and_keeps_what_it_does_not_know()
    {
        string checkpoint = await _service.PublishAsync("r", 10);
        await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint });
        using var config = JsonDocument.Parse(await _service.Store.ReadTextAsync("models/m/config.json", Cancellation));
        JsonElement root = config.RootElement;
        Assert.Equal("bfloat16", root.GetProperty("torch_dtype").GetString());
        Assert.Equal("bfloat16", root.GetProperty("dtype").GetString());
        Assert.Equal(500000, root.GetProperty("rope_theta").GetDouble());
        Assert.Equal(500000, root.GetProperty("rope_parameters").GetProperty("rope_theta").GetDouble());
        Assert.Equal("llama3", root.GetProperty("rope_scaling").GetProperty("rope_type").GetString());
        Assert.Equal(8, root.GetProperty("rope_parameters").GetProperty("factor").GetDouble());
        Assert.Equal(40, root.GetProperty("vocab_size").GetInt32());
        Assert.Equal(2, root.GetProperty("my_own_key").GetProperty("a").GetArrayLength());
        using var generation = JsonDocument.Parse(await _service.Store.ReadTextAsync("models/m/generation_config.json", Cancellation));
        Assert.Equal(1, generation.RootElement.GetProperty("bos_token_id").GetInt32());
        Assert.Equal(2, generation.RootElement.GetProperty("eos_token_id").GetArrayLength());
        Assert.False(generation.RootElement.TryGetProperty("pad_token_id", out _));
        using var lineage = JsonDocument.Parse(await _service.Store.ReadTextAsync("models/m/drover.json", Cancellation));
        Assert.Equal("r", lineage.RootElement.GetProperty("run").GetString());
        Assert.Equal(10, lineage.RootElement.GetProperty("step").GetInt64());
        Assert.Equal("d1", lineage.RootElement.GetProperty("dataset_hash").GetString());
        Assert.Equal("t1", lineage.RootElement.GetProperty("tokenizer_hash").GetString());
    }

    [Fact]
    public async Task The_tokenizer_goes_beside_the_weights()
    {
        string checkpoint = await _service.PublishAsync("r", 10);
        await PutTokenizerAsync("tokenizers/t", 40);
        Model model = await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, Tokenizer = "tokenizers/t" });
        Assert.Equal(["README.md", "config.json", "drover.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"], model.Files.Select(f => f.Path));
        Assert.Equal(await _service.Store.ReadAllBytesAsync("tokenizers/t/tokenizer.json", Cancellation), await _service.Store.ReadAllBytesAsync("models/m/tokenizer.json", Cancellation));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Rows_after_the_last_id_are_left_out_and_config_and_weights_agree(bool tied)
    {
        string checkpoint = await _service.PublishAsync("r", 10, tied);
        await PutTokenizerAsync("tokenizers/t", 35);
        await _service.Store.PutTextAsync("tokenizers/t/tokenizer_config.json", """{"added_tokens_decoder":{"36":{"content":"<pad>"} } }""", Cancellation);
        await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, Tokenizer = "tokenizers/t", DataType = ExportDataType.Fp32, MaxShardBytes = 3000 });
        HuggingFaceModel model = await HuggingFaceModel.OpenAsync(_service.Store, "models/m", Cancellation);
        Assert.Equal(37, model.Config.VocabSize);
        foreach (string name in tied ? [LlamaTensors.Embedding] : new[] { LlamaTensors.Embedding, LlamaTensors.Head })
        {
            Assert.Equal([37, 16], model.Get(name).Shape);
            Assert.Equal(Values(LogicalTensor.Weight, name, [40, 16], 10)[..(37 * 16)], await ReadAsync(model, name, 37 * 16));
        }

        // Another content under the name is refused, so the name says which it is; and with the padding it is all there.
        Export other = await _service.ExportAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, Tokenizer = "tokenizers/t", DataType = ExportDataType.Fp32, MaxShardBytes = 3000, KeepPadding = true });
        Assert.Equal((int)StatusCode.AlreadyExists, other.Job.Failure.Code);
        await _service.ExportWellAsync(new ExportSpec { Name = "padded", Checkpoint = checkpoint, Tokenizer = "tokenizers/t", KeepPadding = true });
        Assert.Equal(40, (await HuggingFaceModel.OpenAsync(_service.Store, "models/padded", Cancellation)).Config.VocabSize);
    }

    [Fact]
    public async Task A_tokenizer_with_more_ids_than_rows_is_refused_and_nothing_is_left()
    {
        string checkpoint = await _service.PublishAsync("r", 10);
        await PutTokenizerAsync("tokenizers/t", 41);
        Export export = await _service.ExportAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, Tokenizer = "tokenizers/t" });
        await FailedAsync(export, StatusCode.FailedPrecondition, "41");
    }

    [Fact]
    public async Task A_sentencepiece_model_with_more_pieces_than_rows_is_refused()
    {
        string checkpoint = await _service.PublishAsync("r", 10);
        byte[] pieces = [.. Enumerable.Range(0, 41).SelectMany(i => new byte[] { 0x0A, 0x03, 0x0A, 0x01, (byte)('a' + (i % 26)) })];
        await _service.Store.PutBytesAsync("tokenizers/t/tokenizer.model", pieces, PutCondition.None, Cancellation);
        await FailedAsync(await _service.ExportAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, Tokenizer = "tokenizers/t" }), StatusCode.FailedPrecondition, "41");
        await _service.Store.PutBytesAsync("tokenizers/t/tokenizer.model", pieces.AsMemory(0, pieces.Length - 5), PutCondition.None, Cancellation);
        await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, Tokenizer = "tokenizers/t" });
    }

    [Fact]
    public async Task What_is_missing_or_not_published_fails_and_says_so()
    {
        string pending = await _service.WriteCheckpointAsync("r", 10);
        await FailedAsync(await _service.ExportAsync(new ExportSpec { Name = "m", Checkpoint = pending }), StatusCode.NotFound, "not published");
        string checkpoint = await _service.PublishAsync("r", 20);
        await FailedAsync(await _service.ExportAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, Tokenizer = "tokenizers/none" }), StatusCode.NotFound, "tokenizers/none");
    }

    [Fact]
    public async Task A_damaged_shard_fails_the_export_and_leaves_no_half_model()
    {
        string checkpoint = await _service.PublishAsync("r", 10);
        await _service.Store.DeleteAsync($"{checkpoint}/shard-00001.safetensors", Cancellation);
        await FailedAsync(await _service.ExportAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint }), StatusCode.DataLoss, "shard-00001.safetensors");
    }

    [Fact]
    public async Task The_same_export_again_gives_the_same_model_and_another_one_is_refused()
    {
        string checkpoint = await _service.PublishAsync("r", 10);
        string other = await _service.PublishAsync("r", 20);
        Model first = await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint });
        Assert.Equal(first, await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint }));
        Export refused = await _service.ExportAsync(new ExportSpec { Name = "m", Checkpoint = other });
        Assert.Equal((JobState.Failed, (int)StatusCode.AlreadyExists), (refused.Job.State, refused.Job.Failure.Code));
        Assert.Equal(first, (await _service.Client.GetModelAsync(new GetModelRequest { Name = "models/m" }, cancellationToken: Cancellation)).Model);
    }

    [Fact]
    public async Task A_folder_that_someone_else_filled_is_left_alone()
    {
        string checkpoint = await _service.PublishAsync("r", 10);
        await _service.Store.PutTextAsync("models/m/config.json", "{}", Cancellation);
        Export refused = await _service.ExportAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint });
        Assert.Equal((int)StatusCode.AlreadyExists, refused.Job.Failure.Code);
        Assert.Equal("{}", await _service.Store.ReadTextAsync("models/m/config.json", Cancellation));
    }

    [Fact]
    public async Task What_a_crash_left_half_done_is_done_again()
    {
        string checkpoint = await _service.PublishAsync("r", 10);
        Model whole = await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint });
        // The claim and a torn shard are there, config.json is not: as after a kill.
        await _service.Store.DeleteAsync("models/m/config.json", Cancellation);
        await _service.Store.PutTextAsync("models/m/model.safetensors", "half", Cancellation);
        Assert.Equal(StatusCode.NotFound, (await StatusOf(async () => await _service.Client.GetModelAsync(new GetModelRequest { Name = "models/m" }, cancellationToken: Cancellation))).StatusCode);
        Assert.Equal(whole.ContentHash, (await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint })).ContentHash);
    }

    [Theory]
    [InlineData("", "runs/r/checkpoints/step-00000010", 0L)]
    [InlineData("a/b", "runs/r/checkpoints/step-00000010", 0L)]
    [InlineData("..", "runs/r/checkpoints/step-00000010", 0L)]
    [InlineData("m", "r", 0L)]
    [InlineData("m", "runs/r/checkpoints/step-00000010", -1L)]
    public async Task A_spec_that_can_never_be_done_is_refused_at_once(string name, string checkpoint, long shardBytes)
    {
        Status status = await StatusOf(async () => await _service.Client.CreateExportAsync(new CreateExportRequest { Spec = new ExportSpec { Name = name, Checkpoint = checkpoint, MaxShardBytes = shardBytes } }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.InvalidArgument, status.StatusCode);
    }

    [Theory]
    [InlineData(1.0f, 0x3F80)]
    [InlineData(1.00390625f, 0x3F80)] // halfway, even below
    [InlineData(1.01171875f, 0x3F82)] // halfway, even above
    [InlineData(1.00390637f, 0x3F81)] // just above halfway
    [InlineData(-0.0f, 0x8000)]
    [InlineData(float.PositiveInfinity, 0x7F80)]
    [InlineData(float.MaxValue, 0x7F80)]
    [InlineData(1e-40f, 0x0001)]
    [InlineData(float.NaN, 0xFFC0)]
    public void Bfloat16_rounds_to_nearest_even(float value, int bits) => Assert.Equal(bits, Exports.Rounding.ToBFloat16(value));

    [Fact]
    public void Many_values_are_rounded_as_each_of_them_alone()
    {
        var random = new Random(5);
        float[] values = [.. Enumerable.Range(0, 1003).Select(i => i % 97 == 5 ? float.NaN : i % 41 == 0 ? float.NegativeInfinity : BitConverter.UInt32BitsToSingle((uint)random.NextInt64(1L << 32)))];
        byte[] bytes = new byte[2 * values.Length];
        Exports.Rounding.Write(values, SafetensorsTypes.BF16, bytes, "w");
        Assert.Equal(values.Select(Exports.Rounding.ToBFloat16), System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ushort>(bytes).ToArray());
    }

    [Fact]
    public void A_weight_too_large_for_fp16_is_an_error_not_an_infinity()
    {
        Errors.DroverException e = Assert.Throws<Errors.DroverException>(() => Exports.Rounding.Write([1, 70000], SafetensorsTypes.F16, new byte[4], "w"));
        Assert.Contains("'w'", e.Message, StringComparison.Ordinal);
    }

    private async Task CheckIndexAsync(Model exported, HuggingFaceModel model, long shardBytes)
    {
        using var index = JsonDocument.Parse(await _service.Store.ReadTextAsync($"models/m/{HuggingFaceModel.IndexFile}", Cancellation));
        Assert.Equal(model.TensorNames.Sum(t => model.Get(t).Length), index.RootElement.GetProperty("metadata").GetProperty("total_size").GetInt64());
        string[] files = [.. index.RootElement.GetProperty("weight_map").EnumerateObject().Select(p => p.Value.GetString()!).Distinct()];
        Assert.Equal(Enumerable.Range(1, files.Length).Select(i => $"model-{i:D5}-of-{files.Length:D5}.safetensors"), files);
        Assert.Equal(files, exported.Files.Where(f => f.Path.EndsWith(".safetensors", StringComparison.Ordinal)).Select(f => f.Path));
        foreach (string file in files)
        {
            SafetensorsFile shard = await SafetensorsFile.OpenAsync(_service.Store, $"models/m/{file}", Cancellation);
            Assert.True(shard.Header.Tensors.Count == 1 || shard.Header.Tensors.Values.Sum(t => t.Length) <= shardBytes);
        }
    }

    private async Task FailedAsync(Export export, StatusCode code, string named)
    {
        Assert.Equal((JobState.Failed, (int)code), (export.Job.State, export.Job.Failure.Code));
        Assert.Contains(named, export.Job.Failure.Message, StringComparison.Ordinal);
        await foreach (ObjectInfo left in _service.Store.ListAsync("models/", Cancellation))
            Assert.Fail($"left behind: {left.Key}");
    }

    private async Task PutTokenizerAsync(string prefix, int ids)
    {
        string vocabulary = string.Join(',', Enumerable.Range(0, ids - 1).Select(i => $"\"p{i}\":{i}"));
        await _service.Store.PutTextAsync($"{prefix}/tokenizer.json", $$"""{"added_tokens":[{"id":{{ids - 1}},"content":"<x>"}],"model":{"type":"BPE","merges":[],"vocab":{ {{vocabulary}} } } }""", Cancellation);
        await _service.Store.PutTextAsync($"{prefix}/tokenizer_config.json", "{}", Cancellation);
        await _service.Store.PutTextAsync($"{prefix}/notes.txt", "not a tokenizer's file", Cancellation);
    }

    private static float Round(float value, string type) => type switch
    {
        "BF16" => BitConverter.UInt32BitsToSingle((uint)NearestBFloat16(value) << 16),
        "F16" => (float)(Half)value,
        _ => value,
    };

    // The slow and obvious way: of the two neighbours the nearer one, of two equally near the even one.
    private static ushort NearestBFloat16(float value)
    {
        ushort below = (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);
        ushort above = (ushort)(below + 1);
        double down = Math.Abs((double)value - BitConverter.UInt32BitsToSingle((uint)below << 16));
        double up = Math.Abs((double)value - BitConverter.UInt32BitsToSingle((uint)above << 16));
        return down < up || (down == up && below % 2 == 0) ? below : above;
    }

    private static async Task<float[]> ReadAsync(HuggingFaceModel model, string name, int count)
    {
        byte[] bytes = new byte[model.Get(name).Length];
        await model.FileOf(name).ReadAsync(name, 0, bytes, Cancellation);
        return [.. Enumerable.Range(0, count).Select(i => model.Get(name).DataType switch
        {
            "BF16" => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(bytes, 2 * i) << 16),
            "F16" => (float)BitConverter.ToHalf(bytes, 2 * i),
            _ => BitConverter.ToSingle(bytes, 4 * i),
        })];
    }
}
