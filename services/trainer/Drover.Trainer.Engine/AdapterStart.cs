using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Engine;

/// <summary>
/// What adapters start from, as PEFT has it: A uniform in +-1 / sqrt(in), B zero, DoRA's lengths those of the weight's rows, trained rows those of the model.
/// So the first step begins with the model as it is. A value depends on seed, name and place in the whole tensor, not on the layout.
/// </summary>
internal static class AdapterStart
{
    /// <summary>A reader of everything that a run with LoRA starts from.</summary>
    /// <param name="model">Reads weights of the model.</param>
    /// <param name="adapter">Reads what LoRA trains from an adapter; null for fresh ones.</param>
    /// <param name="lora">What is trained.</param>
    /// <param name="config">The model.</param>
    /// <param name="seed">Of the run.</param>
    public static StateReader Beside(StateReader model, StateReader? adapter, LoraSpec lora, LlamaConfig config, long seed) => (slice, values) =>
    {
        if (adapter is not null && (AdapterTensors.IsAdded(slice.Name) || lora.IsSaved(slice.Name)))
            adapter(slice, values);
        else if (AdapterTensors.IsA(slice.Name))
            FillUniform(slice, values, seed);
        else if (AdapterTensors.IsB(slice.Name))
            values.Clear();
        else if (AdapterTensors.IsMagnitude(slice.Name))
            FillLengths(model, config, slice, values);
        else if (AdapterTensors.IsRows(slice.Name))
            model(RowsOf(slice, lora.TokenRowsFrom), values);
        else
            model(slice, values);
    };

    private static void FillUniform(StateSlice slice, Span<float> values, long seed)
    {
        ulong key = CounterGenerator.KeyOf(seed, slice.Name);
        int columns = (int)slice.Shape[1];
        for (int row = 0; row < slice.Shape[0]; row++)
            CounterGenerator.FillUniform(values.Slice(row * columns, columns), key, 1 / Math.Sqrt(slice.GlobalShape[1]), ((slice.Offset[0] + row) * slice.GlobalShape[1]) + slice.Offset[1]);
    }

    // Some rows at a time: a weight may be large.
    private static void FillLengths(StateReader model, LlamaConfig config, StateSlice slice, Span<float> values)
    {
        const int RowsAtOnce = 256;
        string weight = AdapterTensors.WeightOf(slice.Name);
        long columns = LlamaTensors.All(config).First(w => w.Name == weight).Shape[1];
        float[] buffer = new float[RowsAtOnce * columns];
        for (int done = 0; done < values.Length; done += RowsAtOnce)
        {
            int rows = Math.Min(RowsAtOnce, values.Length - done);
            Span<float> read = buffer.AsSpan(0, rows * (int)columns);
            model(new StateSlice(LogicalTensor.Weight, weight, [slice.GlobalShape[0], columns], [slice.Offset[0] + done, 0], [rows, columns]), read);
            for (int row = 0; row < rows; row++)
            {
                double sum = 0;
                foreach (float value in read.Slice(row * (int)columns, (int)columns))
                    sum += (double)value * value;
                values[done + row] = (float)Math.Sqrt(sum);
            }
        }
    }

    private static StateSlice RowsOf(StateSlice rows, long first) => new(
        LogicalTensor.Weight,
        AdapterTensors.WeightOf(rows.Name),
        [rows.GlobalShape[0] + first, rows.GlobalShape[1]],
        [rows.Offset[0] + first, rows.Offset[1]],
        rows.Shape);
}
