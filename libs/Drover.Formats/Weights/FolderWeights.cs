using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;

namespace Drover.Formats.Weights;

/// <summary>Weights of a Hugging Face folder, widened to fp32.</summary>
public sealed class FolderWeights(IObjectStore store, HuggingFaceModel model) : IModelWeights
{
    /// <inheritdoc />
    public LlamaConfig Config => model.Config;

    /// <inheritdoc />
    public string Prefix => model.Prefix;

    /// <inheritdoc />
    public Task<string> HashAsync(CancellationToken cancellation) => FileDigests.HashOfWeightsAsync(store, model.Prefix, cancellation);

    /// <inheritdoc />
    public Task ReadAsync(string name, long[] shape, TensorBox box, Memory<float> target, CancellationToken cancellation) =>
        SafetensorsFloats.ReadAsync(model.FileOf(name), name, shape, box, target, cancellation);
}

/// <summary>Reads boxes of fp32, bf16 and fp16 tensors as fp32.</summary>
public static class SafetensorsFloats
{
    private const int ChunkBytes = 4 << 20;

    /// <summary>Reads a box, row-major.</summary>
    /// <exception cref="DroverException">FailedPrecondition when the tensor has another shape or type.</exception>
    public static async Task ReadAsync(SafetensorsFile file, string name, long[] shape, TensorBox box, Memory<float> target, CancellationToken cancellation)
    {
        SafetensorsEntry entry = file.Get(name);
        if (!shape.AsSpan().SequenceEqual(entry.Shape))
            throw new DroverException(FailureCode.FailedPrecondition, "SHAPE_MISMATCH", $"Tensor '{name}' of '{file.Key}' has the shape [{string.Join(", ", entry.Shape)}], and the model calls for [{string.Join(", ", shape)}].");
        int width = entry.DataType is SafetensorsTypes.F32 or SafetensorsTypes.BF16 or SafetensorsTypes.F16
            ? SafetensorsTypes.ElementBytes(entry.DataType)
            : throw new DroverException(FailureCode.FailedPrecondition, "UNSUPPORTED_WEIGHT_TYPE", $"Tensor '{name}' of '{file.Key}' is {entry.DataType}; weights are F32, BF16 or F16.");
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        foreach ((long from, long to, long length) in new TensorBox(new long[shape.Length], shape).Runs(box, box))
        {
            for (long done = 0; done < length;)
            {
                int count = (int)Math.Min(length - done, ChunkBytes / width);
                Memory<byte> bytes = buffer.AsMemory(0, count * width);
                await file.ReadAsync(name, (from + done) * width, bytes, cancellation).ConfigureAwait(false);
                Widen(bytes.Span, entry.DataType, target.Span.Slice((int)(to + done), count));
                done += count;
            }
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
}
