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
    private const int NormalSeed = 20_251;

    private readonly string _type = file.Get(name).DataType;
    private readonly int _columns = checked((int)file.Get(name).Shape[1]);

    private int RowBytes => _columns * SafetensorsTypes.ElementBytes(_type);

    public async Task WriteAsync(Stream target, CancellationToken cancellation)
    {
        await ForEachChunkAsync((_, chunk) => target.WriteAsync(chunk, cancellation), cancellation).ConfigureAwait(false);
        int perBlock = Math.Max(1, BlockBytes / (_columns * sizeof(float)));
        (float[] Mean, float[] Deviation)? columns = init is EmbeddingInit.Mean or EmbeddingInit.Normal ? await ColumnsAsync(cancellation).ConfigureAwait(false) : null;
        var random = new Random(NormalSeed);
        for (int first = 0; first < subPieces.Count; first += perBlock)
        {
            float[] block = new float[(long)Math.Min(perBlock, subPieces.Count - first) * _columns];
            if (columns is { } known)
            {
                for (int i = 0; i < block.Length; i++)
                    block[i] = known.Mean[i % _columns] + (init == EmbeddingInit.Normal ? known.Deviation[i % _columns] * Gaussian(random) : 0);
            }
            else if (init != EmbeddingInit.Zeros)
            {
                await SumAsync(block, first, cancellation).ConfigureAwait(false);
            }

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

    // Box and Muller.
    private static float Gaussian(Random random) =>
        (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));

    private async Task<(float[] Mean, float[] Deviation)> ColumnsAsync(CancellationToken cancellation)
    {
        double[] sums = new double[_columns];
        double[] squares = new double[_columns];
        float[] one = new float[_columns];
        await ForEachChunkAsync(
            (_, chunk) =>
            {
                for (int at = 0; at < chunk.Length; at += RowBytes)
                {
                    Array.Clear(one);
                    RowCodec.Add(chunk.Span.Slice(at, RowBytes), _type, one);
                    for (int i = 0; i < _columns; i++)
                    {
                        sums[i] += one[i];
                        squares[i] += (double)one[i] * one[i];
                    }
                }

                return ValueTask.CompletedTask;
            },
            cancellation).ConfigureAwait(false);
        float[] mean = Array.ConvertAll(sums, s => (float)(s / oldRows));
        float[] deviation = [.. squares.Select((s, i) => (float)Math.Sqrt(Math.Max(0, (s / oldRows) - ((sums[i] / oldRows) * (sums[i] / oldRows)))))];
        return (mean, deviation);
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
