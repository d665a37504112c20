using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Security.Cryptography;
using System.Text.Json;
using Drover.ObjectStore;

namespace Drover.Formats.Safetensors;

/// <summary>
/// Writes safetensors as a stream: the header is known from names, types and shapes alone, so tensor data is asked for
/// one tensor at a time and never held together.
/// </summary>
public static class SafetensorsWriter
{
    private const int ChunkBytes = 1 << 20;

    /// <summary>Writes a file into the object store.</summary>
    /// <returns>Its size and SHA-256 (lower-case hex).</returns>
    public static async Task<(long Bytes, string Sha256)> PutAsync(IObjectStore store, string key, IReadOnlyList<SafetensorsTensor> tensors, IReadOnlyDictionary<string, string>? metadata, CancellationToken cancellation)
    {
        // Segments as large as chunks: each of them is a write of the store.
        var pipe = new Pipe(new PipeOptions(minimumSegmentSize: ChunkBytes, pauseWriterThreshold: 4 * ChunkBytes, resumeWriterThreshold: 2 * ChunkBytes, useSynchronizationContext: false));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var hashing = new HashingPipeStream(pipe.Writer);
        Task write = WriteThenCompleteAsync(pipe.Writer, hashing, tensors, metadata, stop.Token);
        try
        {
            Stream source = pipe.Reader.AsStream();
            await using (source.ConfigureAwait(false))
                await store.PutAsync(key, source, PutCondition.None, cancellation).ConfigureAwait(false);
            await write.ConfigureAwait(false);
        }
        catch
        {
            await stop.CancelAsync().ConfigureAwait(false);
            // The first failure is the one to tell; the writer ends either way.
            await write.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }

        return (hashing.Written, hashing.Digest());
    }

    /// <summary>Writes a file to a stream.</summary>
    public static async Task WriteAsync(Stream target, IReadOnlyList<SafetensorsTensor> tensors, IReadOnlyDictionary<string, string>? metadata, CancellationToken cancellation)
    {
        await target.WriteAsync(BuildHeader(tensors, metadata), cancellation).ConfigureAwait(false);
        foreach (SafetensorsTensor tensor in tensors)
            await tensor.Write(target, cancellation).ConfigureAwait(false);
    }

    /// <summary>The length field and the JSON, padded with spaces so that data starts at a multiple of 8.</summary>
    public static byte[] BuildHeader(IReadOnlyList<SafetensorsTensor> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            json.WriteString("format", "pt"); // transformers refuses files that do not say so
            foreach ((string name, string value) in metadata ?? new Dictionary<string, string>())
                json.WriteString(name, value);
            json.WriteEndObject();
            long offset = 0;
            foreach (SafetensorsTensor tensor in tensors)
            {
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", tensor.DataType);
                json.WriteStartArray("shape");
                foreach (long d in tensor.Shape)
                    json.WriteNumberValue(d);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += tensor.ByteCount);
                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        int padded = (buffer.WrittenCount + 7) / 8 * 8;
        byte[] header = new byte[8 + padded];
        header.AsSpan(8).Fill((byte)' ');
        BinaryPrimitives.WriteUInt64LittleEndian(header, (ulong)padded);
        buffer.WrittenSpan.CopyTo(header.AsSpan(8));
        return header;
    }

    private static async Task WriteThenCompleteAsync(PipeWriter pipe, Stream target, IReadOnlyList<SafetensorsTensor> tensors, IReadOnlyDictionary<string, string>? metadata, CancellationToken cancellation)
    {
        Exception? failure = null;
        try
        {
            await WriteAsync(target, tensors, metadata, cancellation).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            failure = e;
            throw;
        }
        finally
        {
            await pipe.CompleteAsync(failure).ConfigureAwait(false);
        }
    }

    /// <summary>Writes into a pipe, counts and hashes on the way.</summary>
    private sealed class HashingPipeStream(PipeWriter pipe) : ForwardWriteStream
    {
        private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

        public string Digest() => Convert.ToHexStringLower(_hash.GetCurrentHash());

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            _hash.AppendData(buffer.Span);
            Written += buffer.Length;
            for (int start = 0; start < buffer.Length; start += ChunkBytes)
            {
                FlushResult result = await pipe.WriteAsync(buffer.Slice(start, Math.Min(ChunkBytes, buffer.Length - start)), cancellationToken).ConfigureAwait(false);
                if (result.IsCompleted)
                    throw new IOException("The store stopped reading.");
            }
        }

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override void Write(byte[] buffer, int offset, int count) =>
            throw new NotSupportedException("Tensor data is written asynchronously.");

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                _hash.Dispose();
            base.Dispose(disposing);
        }
    }
}

/// <summary>A tensor to be written.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DataType">"F32", "BF16", ...</param>
/// <param name="Shape">Its shape.</param>
/// <param name="Write">Writes exactly <see cref="ByteCount"/> bytes, little-endian, row-major, with <c>WriteAsync</c>.</param>
public sealed record SafetensorsTensor(string Name, string DataType, long[] Shape, Func<Stream, CancellationToken, Task> Write)
{
    /// <summary>Bytes of its data.</summary>
    public long ByteCount => Shape.Aggregate((long)SafetensorsTypes.ElementBytes(DataType), (n, d) => checked(n * d));
}
