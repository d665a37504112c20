using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;

namespace Drover.Testing;

/// <summary>
/// stories260K, a small LLaMA that was really trained, as a Hugging Face folder. The source is llama2.c's first layout: seven
/// int32, then fp32 weights; its rotary embedding turns neighbours, so the rows of q and k are reordered for halves.
/// </summary>
public static class StoriesModel
{
    /// <summary>Writes the folder; skips the running test where the shared file is absent.</summary>
    public static async Task WriteAsync(IObjectStore store, string prefix, CancellationToken cancellation)
    {
        byte[] file = await File.ReadAllBytesAsync(SharedData.Require("weights/stories260K.bin"), cancellation);
        int[] header = new int[7];
        Buffer.BlockCopy(file, 0, header, 0, 28);
        int dim = header[0], hidden = header[1], layers = header[2], heads = header[3], kvHeads = header[4], vocab = header[5], length = header[6];
        var config = new LlamaConfig
        {
            VocabSize = vocab,
            HiddenSize = dim,
            IntermediateSize = hidden,
            NumHiddenLayers = layers,
            NumAttentionHeads = heads,
            NumKeyValueHeads = kvHeads,
            MaxPositionEmbeddings = length,
            RmsNormEps = 1e-5,
            RopeTheta = 10000,
            TieWordEmbeddings = true,
            BosTokenId = 1,
        };
        var weights = new Dictionary<string, float[]>(StringComparer.Ordinal);
        int at = 28;
        float[] Take(long count)
        {
            float[] values = new float[count];
            Buffer.BlockCopy(file, at, values, 0, (int)count * 4);
            at += (int)count * 4;
            return values;
        }

        void TakeLayers(string name, long count, int rotated = 0)
        {
            for (int i = 0; i < layers; i++)
                weights[$"model.layers.{i}.{name}.weight"] = rotated == 0 ? Take(count) : HalvesFirst(Take(count), rotated, dim / heads, dim);
        }

        int kvDim = dim / heads * kvHeads;
        weights[LlamaTensors.Embedding] = Take((long)vocab * dim);
        TakeLayers("input_layernorm", dim);
        TakeLayers("self_attn.q_proj", (long)dim * dim, heads);
        TakeLayers("self_attn.k_proj", (long)kvDim * dim, kvHeads);
        TakeLayers("self_attn.v_proj", (long)kvDim * dim);
        TakeLayers("self_attn.o_proj", (long)dim * dim);
        TakeLayers("post_attention_layernorm", dim);
        TakeLayers("mlp.gate_proj", (long)hidden * dim);
        TakeLayers("mlp.down_proj", (long)hidden * dim);
        TakeLayers("mlp.up_proj", (long)hidden * dim);
        weights[LlamaTensors.FinalNorm] = Take(dim);
        await WriteAsync(store, prefix, config, weights, cancellation);
    }

    /// <summary>Writes any small model as a Hugging Face folder, fp32, one shard.</summary>
    public static async Task WriteAsync(IObjectStore store, string prefix, LlamaConfig config, IReadOnlyDictionary<string, float[]> weights, CancellationToken cancellation)
    {
        SafetensorsTensor[] tensors = [.. LlamaTensors.All(config).Select(w => new SafetensorsTensor(w.Name, SafetensorsTypes.F32, w.Shape, async (stream, stop) =>
        {
            byte[] bytes = new byte[weights[w.Name].Length * 4];
            Buffer.BlockCopy(weights[w.Name], 0, bytes, 0, bytes.Length);
            await stream.WriteAsync(bytes, stop);
        }))];
        await SafetensorsWriter.PutAsync(store, ObjectKey.Join(prefix, HuggingFaceModel.SingleShard), tensors, null, cancellation);
        await store.PutTextAsync(ObjectKey.Join(prefix, LlamaConfig.FileName), config.ToJson(), cancellation);
    }

    // Rows of a head: neighbours (0, 1), (2, 3) ... become halves: 0, 2, 4 ... then 1, 3, 5 ...
    private static float[] HalvesFirst(float[] matrix, int heads, int headSize, int columns)
    {
        float[] result = new float[matrix.Length];
        for (int head = 0; head < heads; head++)
        {
            for (int i = 0; i < headSize; i++)
            {
                int from = (head * headSize) + i, to = (head * headSize) + (i % 2 * headSize / 2) + (i / 2);
                Array.Copy(matrix, from * columns, result, to * columns, columns);
            }
        }

        return result;
    }
}
