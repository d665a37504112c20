using System.Globalization;
using System.Text;
using System.Text.Json;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;
using Drover.Testing;

namespace Drover.Formats.Tests.Checkpoints;

/// <summary>
/// Bytes changed, doubled, cut and swapped in what our readers read: they read it or refuse it with a failure of ours, and allocate no more
/// than the file gives reason for. DROVER_TEST_MUTATIONS says how many of each (the default is small).
/// </summary>
public sealed class ManifestMutationTests
{
    private static readonly string[] Fragments = ["{", "}", "[", "]", ",", "null", "-1", "9223372036854775807", "1e308", "\"\"", "\"../../x\"", "[[[[", "\\u0000", "\"shape\":[4611686018427387904,4]", "18446744073709551616", "\"F64\""];

    /// <summary>How many mutations of each kind are tried.</summary>
    internal static int Mutations => int.TryParse(Environment.GetEnvironmentVariable("DROVER_TEST_MUTATIONS"), CultureInfo.InvariantCulture, out int count) ? count : 10_000;

    [Fact]
    public void A_mutated_manifest_is_read_or_refused() =>
        Mutate(JsonSerializer.SerializeToUtf8Bytes(Manifest(), CheckpointManifestJson.Default.CheckpointManifest), json => CheckpointReader.ParseManifest(json, "manifest.json"));

    [Fact]
    public void A_mutated_config_is_read_or_refused() => Mutate(Encoding.UTF8.GetBytes(Config), json => LlamaConfig.Parse(Encoding.UTF8.GetString(json), "config.json"));

    [Fact]
    public async Task A_mutated_index_is_read_or_refused()
    {
        using var folder = new TemporaryFolder();
        var store = new FolderObjectStore(folder.Path);
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        await store.PutTextAsync("m/config.json", Config, cancellation);
        await SafetensorsWriter.PutAsync(store, "m/a.safetensors", [Tensor("a", [2, 3])], null, cancellation);
        byte[] index = """{"metadata":{"total_size":24},"weight_map":{"a":"a.safetensors"}}"""u8.ToArray();
        // Each is a file, written and opened, and takes longer.
        Mutate(index, json =>
        {
            File.WriteAllBytes(folder["m/model.safetensors.index.json"], json);
            HuggingFaceModel.OpenAsync(store, "m", cancellation).GetAwaiter().GetResult();
        }, Mutations / 5);
    }

    private const string Config = """{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":8,"hidden_size":4,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64}}""";

    private static void Mutate(byte[] sound, Action<byte[]> read, int? count = null)
    {
        read(sound);
        var random = new Random(13);
        int refused = 0;
        for (int i = 0; i < (count ?? Mutations); i++)
        {
            byte[] mutated = sound;
            for (int change = random.Next(1, 4); change > 0; change--)
                mutated = Changed(mutated, random);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                read(mutated);
            }
            catch (DroverException e)
            {
                Assert.True(e.Code is FailureCode.DataLoss or FailureCode.InvalidArgument or FailureCode.FailedPrecondition or FailureCode.NotFound or FailureCode.Unimplemented or FailureCode.OutOfRange, $"{e.Code}: {e.Message}");
                refused++;
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                Assert.Fail($"mutation {i}: {e}\n{Encoding.UTF8.GetString(mutated)}");
            }

            Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 4_000_000, $"mutation {i} made the reader allocate {GC.GetAllocatedBytesForCurrentThread() - before} bytes");
        }

        // Else it would not look at what it reads.
        Assert.True(refused > (count ?? Mutations) / 4);
    }

    private static byte[] Changed(byte[] bytes, Random random)
    {
        if (bytes.Length == 0)
            return [0];
        int at = random.Next(bytes.Length), length = Math.Min(random.Next(1, 12), bytes.Length - at);
        byte[] fragment = Encoding.UTF8.GetBytes(Fragments[random.Next(Fragments.Length)]);
        switch (random.Next(6))
        {
            case 0:
                byte[] flipped = [.. bytes];
                flipped[at] ^= (byte)(1 << random.Next(8));
                return flipped;
            case 1:
                return bytes[..at];
            case 2:
                return [.. bytes[..at], .. bytes[(at + length)..]];
            case 3:
                return [.. bytes[..(at + length)], .. bytes[at..]];
            case 4:
                return [.. bytes[..at], .. fragment, .. bytes[at..]];
            default:
                return [.. bytes[..at], .. fragment, .. bytes[(at + length)..]];
        }
    }

    private static SafetensorsTensor Tensor(string name, long[] shape) =>
        new(name, SafetensorsTypes.F32, shape, (target, c) => target.WriteAsync(new byte[4 * (int)shape.Aggregate(1L, (a, b) => a * b)], c).AsTask());

    private static CheckpointManifest Manifest() => new()
    {
        Run = "r",
        Step = 1,
        RowsConsumed = 8,
        TokensSeen = 100,
        Loss = 2,
        NextBatch = new NextBatchState("ab", 3, 8, 2.5, "fp32"),
        ModelConfig = Config,
        RunSpec = "{}",
        Dataset = "datasets/d",
        DatasetHash = "d",
        TokenizerHash = "t",
        Shards = [new CheckpointShard("shard-00000.safetensors", 0, 100, "aa"), new CheckpointShard("shard-00001.safetensors", 1, 100, "bb")],
        Tensors =
        [
            new LogicalTensor("weight", "w", "F32", [4, 2], [new TensorSlice("shard-00000.safetensors", "weight/w@0,0", [0, 0], [2, 2]), new TensorSlice("shard-00001.safetensors", "weight/w@2,0", [2, 0], [2, 2])]),
            new LogicalTensor("weight", "s", "F32", [], [new TensorSlice("shard-00000.safetensors", "weight/s", [], [])]),
        ],
    };
}
