using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Tests;

/// <summary>Checkpoints of a small LLaMA whose values are known from kind, name and step.</summary>
internal static class TestCheckpoint
{
    /// <summary>A small LLaMA's config.</summary>
    public static LlamaConfig Config(bool tied) => LlamaConfig.Parse(
        $$"""
        {"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":40,"hidden_size":16,"intermediate_size":24,
         "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"tie_word_embeddings":{{(tied ? "true" : "false")}},
         "bos_token_id":1,"eos_token_id":[2,3],"rope_theta":500000.0,"rms_norm_eps":1e-05,"my_own_key":{"a":[1,2]},
         "rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64} }
        """,
        "test");

    /// <summary>A larger one: a save takes long enough to be killed in the middle of anything.</summary>
    private static LlamaConfig LargerConfig { get; } = Config(tied: true) with { VocabSize = 1000, HiddenSize = 64, IntermediateSize = 128, NumHiddenLayers = 2, HeadDim = 16 };

    /// <summary>By name: "whole" is put in one piece, "parts" has shards that S3 gets in parts.</summary>
    public static LlamaConfig ConfigOf(string size) => size == "parts" ? LargerConfig with { HiddenSize = 256, IntermediateSize = 512, HeadDim = 64 } : LargerConfig;

    /// <summary>What the weights of a test checkpoint are: any tensor, the same every time.</summary>
    public static float[] Values(string kind, string name, long[] shape, long step)
    {
        // The same in every process.
        var random = new Random($"{kind} {name} {step}".Aggregate(17, (hash, c) => unchecked((hash * 31) + c)));
        return [.. Enumerable.Range(0, (int)shape.Aggregate(1L, (a, b) => a * b)).Select(_ => (random.NextSingle() - 0.5f) / 3)];
    }

    /// <summary>Writes a checkpoint as two ranks that cut every matrix by rows, up to the pending manifest.</summary>
    public static async Task<string> WriteAsync(IObjectStore store, string run, long step, LlamaConfig config, Func<string, string, bool>? leaveOut, string runSpec, CancellationToken cancellation)
    {
        string prefix = RunKeys.Checkpoint(run, step);
        var written = new List<WrittenShard>();
        for (int rank = 0; rank < 2; rank++)
        {
            var slices = new List<CheckpointSlice>();
            foreach ((string name, long[] shape) in LlamaTensors.All(config))
            {
                foreach (string kind in new[] { LogicalTensor.Weight, LogicalTensor.FirstMoment, LogicalTensor.SecondMoment })
                {
                    if (leaveOut?.Invoke(kind, name) != true)
                        slices.Add(Half(kind, name, shape, rank, step));
                }
            }

            written.Add(await CheckpointWriter.WriteShardAsync(store, prefix, rank, slices, cancellation));
        }

        (IReadOnlyList<CheckpointShard> shards, IReadOnlyList<LogicalTensor> tensors) = CheckpointWriter.Assemble(written);
        await CheckpointWriter.WritePendingAsync(
            store,
            prefix,
            new CheckpointManifest
            {
                Run = run,
                Step = step,
                RowsConsumed = step * 8,
                TokensSeen = step * 512,
                Loss = 3.25,
                ModelConfig = config.ToJson(),
                RunSpec = runSpec,
                Dataset = "datasets/d",
                DatasetHash = "d1",
                TokenizerHash = "t1",
                Shards = shards,
                Tensors = tensors,
            },
            cancellation);
        return prefix;
    }

    private static CheckpointSlice Half(string kind, string name, long[] shape, int rank, long step)
    {
        float[] values = Values(kind, name, shape, step);
        long middle = shape[0] / 2;
        long row = values.Length / shape[0];
        long first = rank == 0 ? 0 : middle;
        long[] offset = new long[shape.Length];
        offset[0] = first;
        long[] extent = [rank == 0 ? middle : shape[0] - middle, .. shape.AsSpan(1)];
        return new CheckpointSlice(kind, name, shape, offset, extent, (at, target) => values.AsSpan((int)((first * row) + at), target.Length).CopyTo(target));
    }
}
