using Drover.Formats.Safetensors;
using Drover.Protocol.Tokenizer.V1;

namespace Drover.Tokenizer;

/// <summary>
/// An embedding matrix with new rows: the old rows as they are, then means of old rows, then zeros. New rows are summed in
/// blocks, each in one pass over the old rows: memory is bounded, and rows are read in order, which object stores like.
/// </summary>
internal sealed class GrownMatrix(SafetensorsFile file, string name, int oldRows, IReadOnlyList<int[]> subPieces, int rows, EmbeddingInit init)
{
    private const int BlockBytes = 64 << 20;
    private const int ChunkBytes = 4 << 20;
    // Of the covariance, as transformers takes it: enough to tell new rows apart, too little to move them from the mean.
    private const float NormalShare = 1e-9f;

    private readonly string _type = file.Get(name).DataType;
    private readonly int _columns = checked((int)file.Get(name).Shape[1]);

    private int RowBytes => _columns * SafetensorsTypes.ElementBytes(_type);

    public async Task WriteAsync(Stream target, CancellationToken cancellation)
    {
        await ForEachChunkAsync((_, chunk) => target.WriteAsync(chunk, cancellation), cancellation).ConfigureAwait(false);
        int perBlock = Math.Max(1, BlockBytes / (_columns * sizeof(float)));
        float[] mean = init is EmbeddingInit.Mean or EmbeddingInit.Normal ? await MeanAsync(cancellation).ConfigureAwait(false) : [];
        for (int first = 0; first < subPieces.Count; first += perBlock)
        {
            float[] block = new float[(long)Math.Min(perBlock, subPieces.Count - first) * _columns];
            if (init == EmbeddingInit.Normal)
                await DrawAsync(block, first, mean, cancellation).ConfigureAwait(false);
            else if (init is not (EmbeddingInit.Zeros or EmbeddingInit.Mean))
                await SumAsync(block, first, cancellation).ConfigureAwait(false);
            for (int at = 0; at < block.Length && mean.Length > 0; at += _columns)
                RowCodec.AddScaled(mean, 1, block.AsSpan(at, _columns));
            await WriteRowsAsync(target, block, cancellation).ConfigureAwait(false);
        }

        await WriteRowsAsync(target, new float[(long)(rows - oldRows - subPieces.Count) * _columns], cancellation).ConfigureAwait(false);
    }

    private async Task SumAsync(float[] block, int first, CancellationToken cancellation)
    {
        ILookup<int, int> users = Enumerable.Range(0, block.Length / _columns)
            .SelectMany(i => subPieces[first + i].Select(sub => (sub, i)))
            .ToLookup(p => p.sub, p => p.i);
        await ForEachChunkAsync(
            (row, chunk) =>
            {
                for (int at = 0; at < chunk.Length; at += RowBytes, row++)
                {
                    foreach (int user in users[row])
                        RowCodec.Add(chunk.Span.Slice(at, RowBytes), _type, block.AsSpan(user * _columns, _columns));
                }

                return ValueTask.CompletedTask;
            },
            cancellation).ConfigureAwait(false);
        for (int i = 0; i < block.Length; i++)
            block[i] /= Math.Max(1, subPieces[first + (i / _columns)].Length);
    }

    /// <summary>
    /// Rows of a normal distribution around zero, with <see cref="NormalShare"/> of the covariance of the old rows. Sums of all old rows, less
    /// their mean, each times a number of the standard normal distribution, have exactly that covariance, which is so never in memory.
    /// The numbers follow from the row's places alone.
    /// </summary>
    private async Task DrawAsync(float[] block, int first, float[] mean, CancellationToken cancellation)
    {
        await ForEachChunkAsync(
            (row, chunk) =>
            {
                float[] centred = new float[chunk.Length / RowBytes * _columns];
                for (int i = 0; i * RowBytes < chunk.Length; i++)
                {
                    Span<float> one = centred.AsSpan(i * _columns, _columns);
                    RowCodec.Add(chunk.Span.Slice(i * RowBytes, RowBytes), _type, one);
                    RowCodec.AddScaled(mean, -1, one);
                }

                Parallel.For(0, block.Length / _columns, made =>
                {
                    Span<float> sum = block.AsSpan(made * _columns, _columns);
                    for (int i = 0; i * _columns < centred.Length; i++)
                        RowCodec.AddScaled(centred.AsSpan(i * _columns, _columns), Gaussian(first + made, row + i), sum);
                });
                return ValueTask.CompletedTask;
            },
            cancellation).ConfigureAwait(false);
        for (int i = 0; i < block.Length; i++)
            block[i] *= MathF.Sqrt(NormalShare / oldRows);
    }

    // Box and Muller, of the SplitMix64 hashes of a pair of places.
    private static float Gaussian(int made, int old)
    {
        ulong place = ((ulong)(uint)made << 33) | ((ulong)(uint)old << 1);
        return (float)(Math.Sqrt(-2 * Math.Log(1 - Uniform(place))) * Math.Cos(2 * Math.PI * Uniform(place | 1)));
    }

    private static double Uniform(ulong place)
    {
        ulong mixed = (place + 1) * 0x9E3779B97F4A7C15;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
        return ((mixed ^ (mixed >> 31)) >> 11) * (1.0 / (1UL << 53));
    }

    private async Task<float[]> MeanAsync(CancellationToken cancellation)
    {
        double[] sums = new double[_columns];
        float[] one = new float[_columns];
        await ForEachChunkAsync(
            (_, chunk) =>
            {
                for (int at = 0; at < chunk.Length; at += RowBytes)
                {
                    Array.Clear(one);
                    RowCodec.Add(chunk.Span.Slice(at, RowBytes), _type, one);
                    for (int i = 0; i < _columns; i++)
                        sums[i] += one[i];
                }

                return ValueTask.CompletedTask;
            },
            cancellation).ConfigureAwait(false);
        return Array.ConvertAll(sums, s => (float)(s / oldRows));
    }

    /// <summary>Reads the old rows in order, whole rows at a time.</summary>
    private async Task ForEachChunkAsync(Func<int, ReadOnlyMemory<byte>, ValueTask> use, CancellationToken cancellation)
    {
        int perChunk = Math.Max(1, ChunkBytes / RowBytes);
        byte[] buffer = new byte[perChunk * RowBytes];
        for (int row = 0; row < oldRows; row += perChunk)
        {
            Memory<byte> chunk = buffer.AsMemory(0, Math.Min(perChunk, oldRows - row) * RowBytes);
            await file.ReadAsync(name, (long)row * RowBytes, chunk, cancellation).ConfigureAwait(false);
            await use(row, chunk).ConfigureAwait(false);
        }
    }

    private async Task WriteRowsAsync(Stream target, float[] values, CancellationToken cancellation)
    {
        byte[] row = new byte[RowBytes];
        for (int at = 0; at < values.Length; at += _columns)
        {
            RowCodec.Write(values.AsSpan(at, _columns), _type, row);
            await target.WriteAsync(row, cancellation).ConfigureAwait(false);
        }
    }
}
