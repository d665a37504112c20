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

    public static ModelSource FromCheckpoint(CheckpointReader checkpoint) => new(checkpoint.ModelConfig, (slice, destination) =>
    {
        CheckShape(slice, checkpoint.Get(slice.Kind, slice.Name).Shape, checkpoint.Prefix);
        float[] buffer = new float[destination.Length];
        checkpoint.ReadAsync(slice.Kind, slice.Name, slice.Offset, slice.Shape, buffer, CancellationToken.None).GetAwaiter().GetResult();
        buffer.CopyTo(destination);
    });

    private static async Task<ModelSource> OpenFolderAsync(IObjectStore store, string prefix)
    {
        HuggingFaceModel model = await HuggingFaceModel.OpenAsync(store, prefix, CancellationToken.None).ConfigureAwait(false);
        return new ModelSource(model.Config, (slice, destination) =>
        {
            SafetensorsFile file = model.FileOf(slice.Name);
            SafetensorsEntry entry = file.Get(slice.Name);
            CheckShape(slice, entry.Shape, prefix);
            if (slice.Shape.Length == 1 || slice.Shape[1] == slice.GlobalShape[1])
            {
                Fill(file, slice.Name, entry, slice.Offset[0] * (slice.Shape.Length == 1 ? 1 : slice.Shape[1]), destination);
                return;
            }

            // Some columns: each row lies by itself.
            int columns = (int)slice.Shape[1];
            for (int row = 0; row < slice.Shape[0]; row++)
                Fill(file, slice.Name, entry, ((slice.Offset[0] + row) * slice.GlobalShape[1]) + slice.Offset[1], destination.Slice(row * columns, columns));
        });
    }

    private static void Fill(SafetensorsFile file, string name, SafetensorsEntry entry, long first, Span<float> destination)
    {
        int width = entry.DataType is SafetensorsTypes.F32 or SafetensorsTypes.BF16 or SafetensorsTypes.F16
            ? SafetensorsTypes.ElementBytes(entry.DataType)
            : throw new DroverException(FailureCode.FailedPrecondition, "UNSUPPORTED_WEIGHT_TYPE", $"Tensor '{name}' of '{file.Key}' is {entry.DataType}; weights are F32, BF16 or F16.");
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        for (int done = 0; done < destination.Length;)
        {
            int count = Math.Min(destination.Length - done, ChunkBytes / width);
            Memory<byte> bytes = buffer.AsMemory(0, count * width);
            file.ReadAsync(name, (first + done) * width, bytes, CancellationToken.None).AsTask().GetAwaiter().GetResult();
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

    private static void CheckShape(StateSlice tensor, long[] found, string prefix)
    {
        if (!tensor.GlobalShape.AsSpan().SequenceEqual(found))
            throw new DroverException(FailureCode.FailedPrecondition, "SHAPE_MISMATCH", $"Tensor '{tensor.Name}' of '{prefix}' has the shape [{string.Join(", ", found)}], and its config calls for [{string.Join(", ", tensor.GlobalShape)}].");
    }
}
