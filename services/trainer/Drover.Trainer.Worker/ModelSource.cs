using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>Where weights come from: a Hugging Face folder or a checkpoint.</summary>
/// <param name="Config">The model.</param>
/// <param name="Read">Fills tensors; reads the store on the calling thread.</param>
internal sealed record ModelSource(LlamaConfig Config, StateReader Read)
{
    private const int ChunkBytes = 4 << 20;

    /// <summary>Opens whichever of the two lies under the prefix.</summary>
    public static async Task<ModelSource> OpenAsync(IObjectStore store, string prefix)
    {
        bool folder = await store.FindAsync(ObjectKey.Join(prefix, LlamaConfig.FileName), CancellationToken.None).ConfigureAwait(false) is not null;
        return folder || !prefix.Contains("/checkpoints/", StringComparison.Ordinal)
            ? await OpenFolderAsync(store, prefix).ConfigureAwait(false)
            : FromCheckpoint(await CheckpointReader.OpenAsync(store, prefix, CancellationToken.None).ConfigureAwait(false));
    }

    public static ModelSource FromCheckpoint(CheckpointReader checkpoint) => new(checkpoint.ModelConfig, (tensor, destination) =>
    {
        CheckShape(tensor, checkpoint.Get(tensor.Kind, tensor.Name).Shape, checkpoint.Prefix);
        float[] buffer = new float[destination.Length];
        checkpoint.ReadAsync(tensor.Kind, tensor.Name, buffer, CancellationToken.None).GetAwaiter().GetResult();
        buffer.CopyTo(destination);
    });

    private static async Task<ModelSource> OpenFolderAsync(IObjectStore store, string prefix)
    {
        HuggingFaceModel model = await HuggingFaceModel.OpenAsync(store, prefix, CancellationToken.None).ConfigureAwait(false);
        return new ModelSource(model.Config, (tensor, destination) =>
        {
            SafetensorsFile file = model.FileOf(tensor.Name);
            SafetensorsEntry entry = file.Get(tensor.Name);
            CheckShape(tensor, entry.Shape, prefix);
            Fill(file, tensor.Name, entry, destination);
        });
    }

    private static void Fill(SafetensorsFile file, string name, SafetensorsEntry entry, Span<float> destination)
    {
        int width = entry.DataType is SafetensorsTypes.F32 or SafetensorsTypes.BF16 or SafetensorsTypes.F16
            ? SafetensorsTypes.ElementBytes(entry.DataType)
            : throw new DroverException(FailureCode.FailedPrecondition, "UNSUPPORTED_WEIGHT_TYPE", $"Tensor '{name}' of '{file.Key}' is {entry.DataType}; weights are F32, BF16 or F16.");
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        for (int done = 0; done < destination.Length;)
        {
            int count = Math.Min(destination.Length - done, ChunkBytes / width);
            Memory<byte> bytes = buffer.AsMemory(0, count * width);
            file.ReadAsync(name, (long)done * width, bytes, CancellationToken.None).AsTask().GetAwaiter().GetResult();
            Widen(bytes.Span, entry.DataType, destination.Slice(done, count));
            done += count;
        }

        ArrayPool<byte>.Shared.Return(buffer);
    }

    private static void Widen(ReadOnlySpan<byte> bytes, string type, Span<float> target)
    {
        if (type == SafetensorsTypes.F32)
        {
            MemoryMarshal.Cast<byte, float>(bytes).CopyTo(target);
            return;
        }

        bool brain = type == SafetensorsTypes.BF16;
        for (int i = 0; i < target.Length; i++)
        {
            ushort bits = BinaryPrimitives.ReadUInt16LittleEndian(bytes[(2 * i)..]);
            target[i] = brain ? BitConverter.UInt32BitsToSingle((uint)bits << 16) : (float)BitConverter.UInt16BitsToHalf(bits);
        }
    }

    private static void CheckShape(StateTensor tensor, long[] found, string prefix)
    {
        if (!tensor.Shape.AsSpan().SequenceEqual(found))
            throw new DroverException(FailureCode.FailedPrecondition, "SHAPE_MISMATCH", $"Tensor '{tensor.Name}' of '{prefix}' has the shape [{string.Join(", ", found)}], and its config calls for [{string.Join(", ", tensor.Shape)}].");
    }
}
