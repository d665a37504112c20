using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>
/// Dropout of LoRA's input. Whether a value stays is a function of (seed, step, global row id, place in the model, token of the row,
/// feature) alone: the same on every layout, after a resume, and when a block runs forward again. A value is dropped by 16 random
/// bits, so the probability is rounded to a multiple of 1 / 65,536.
/// </summary>
/// <param name="probability">That a value is dropped.</param>
/// <param name="seed">Of the run.</param>
/// <param name="batch">The micro-batch; tokens after its last row are padding, and lose nothing.</param>
/// <param name="step">From 1.</param>
/// <param name="first">The first of the tokens wanted, counted over the rows one after the other.</param>
/// <param name="count">How many tokens.</param>
/// <param name="device">Where the masks are wanted; null for the CPU, which makes them.</param>
internal sealed class AdapterDropout(double probability, long seed, MicroBatch batch, long step, long first, int count, Device? device = null) : IDropoutMasks
{
    private const int Lanes = 4;

    /// <summary>Of a micro-batch, given a stretch of its tokens; null where a run has no dropout.</summary>
    public static Func<long, int, IDropoutMasks>? For(EngineSpec spec, MicroBatch batch, long step) =>
        spec.Lora is { Dropout: > 0 } lora ? (first, count) => new AdapterDropout(lora.Dropout, spec.Seed, batch, step, first, count, spec.Device) : null;

    /// <inheritdoc />
    public Tensor Of(string place, long features, long from, long taken, ScalarType type)
    {
        using var scope = NewDisposeScope();
        Tensor mask = ones([count, taken], device: CPU);
        ulong stepKey = CounterGenerator.Mix(CounterGenerator.KeyOf(seed, "dropout " + place), (ulong)step);
        Span<float> values = TensorMemory.FloatsOf(mask);
        long start = 0;
        for (int r = 0; r < batch.Rows.Length; r++)
        {
            ulong key = CounterGenerator.Mix(stepKey, (ulong)batch.RowIds[r]);
            long length = batch.Rows[r].InputIds.Length;
            for (long token = Math.Max(first, start); token < Math.Min(first + count, start + length); token++)
                Fill(values.Slice((int)((token - first) * taken), (int)taken), key, ((token - start) * features) + from);
            start += length;
        }

        return mask.to(type).to(device ?? CPU).MoveToOuterDisposeScope();
    }

    private void Fill(Span<float> values, ulong key, long at)
    {
        uint dropped = (uint)Math.Round(probability * (1 << 16));
        float kept = (float)(1 / (1 - probability));
        ulong bits = 0;
        for (int i = 0; i < values.Length; i++, at++)
        {
            int lane = (int)(at % Lanes);
            if (i == 0 || lane == 0)
                bits = CounterGenerator.Mix(key, (ulong)(at / Lanes));
            values[i] = (uint)((bits >> (16 * lane)) & 0xFFFF) < dropped ? 0 : kept;
        }
    }
}
