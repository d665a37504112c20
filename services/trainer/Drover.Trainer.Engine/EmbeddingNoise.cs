using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>
/// NEFTune (Jain et al., 2023): noise uniform in +-alpha / sqrt(tokens of the row x hidden size) on the embeddings while training. Each
/// value is a function of (seed, step, global row id, place in the row, dim) alone: the same on every layout and after a resume.
/// </summary>
/// <param name="alpha">Strength; 0 for no noise.</param>
/// <param name="seed">Of the run.</param>
internal sealed class EmbeddingNoise(double alpha, long seed)
{
    private readonly ulong _key = CounterGenerator.KeyOf(seed, "neftune");

    /// <summary>Adds the noise to embeddings.</summary>
    /// <param name="x">Of some tokens of a micro-batch, [tokens, hidden], contiguous; changed in place.</param>
    /// <param name="batch">The micro-batch; tokens after its last row are padding, and get none.</param>
    /// <param name="first">The first of the tokens, counted over the rows one after the other.</param>
    /// <param name="step">From 1.</param>
    public void AddTo(Tensor x, MicroBatch batch, long first, long step)
    {
        if (alpha == 0)
            return;
        using var scope = NewDisposeScope();
        Tensor noise = zeros(x.shape, device: CPU);
        Fill(TensorMemory.FloatsOf(noise), (int)x.shape[1], batch, first, step);
        // Summed in fp32 and rounded once.
        x.add_(noise.to(x.device), HeldScalars.One);
    }

    private void Fill(Span<float> noise, int hidden, MicroBatch batch, long first, long step)
    {
        ulong stepKey = CounterGenerator.Mix(_key, (ulong)step);
        long count = noise.Length / hidden, start = 0;
        for (int r = 0; r < batch.Rows.Length; r++)
        {
            long length = batch.Rows[r].InputIds.Length;
            long from = Math.Max(first, start), to = Math.Min(first + count, start + length);
            if (from < to)
            {
                Span<float> here = noise.Slice((int)(from - first) * hidden, (int)(to - from) * hidden);
                CounterGenerator.FillUniform(here, CounterGenerator.Mix(stepKey, (ulong)batch.RowIds[r]), alpha / Math.Sqrt((double)length * hidden), (from - start) * hidden);
            }

            start += length;
        }
    }
}
