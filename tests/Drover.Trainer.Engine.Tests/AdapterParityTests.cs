using System.Text.Json;
using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Testing;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

/// <summary>LoRA on tiny LLaMAs against what PEFT computes and writes (tests/goldens/adapters.py).</summary>
public sealed class AdapterParityTests
{
    private static readonly Dictionary<string, JsonElement> Cases = JsonElement.Parse(File.ReadAllText(Path.Combine(Checkout.Root, "tests/goldens/adapters.golden.json")))
        .EnumerateArray().ToDictionary(c => c.GetProperty("name").GetString()!, StringComparer.Ordinal);

    public static TheoryData<string> Names() => [.. Cases.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Logits_and_gradients_equal_those_of_PEFT_within_1e_4(string name)
    {
        using var scope = NewDisposeScope();
        (LlamaConfig config, LoraSpec lora) = SpecOf(name);
        using LlamaPart model = Model(config, lora);
        using TokenBatch batch = BatchOf(name);
        FamilyParityTests.AssertClose(Floats(name, "logits"), Logits(model, batch), "logits");

        Dictionary<string, Tensor> gradients = GradientTests.Written(model, batch, scale: 1).Gradients;
        JsonElement expected = Cases[name].GetProperty("gradients");
        // What is frozen has no gradient at all.
        Assert.Equal(expected.EnumerateObject().Select(p => p.Name).Order(StringComparer.Ordinal), gradients.Keys.Order(StringComparer.Ordinal));
        foreach (JsonProperty weight in expected.EnumerateObject())
            FamilyParityTests.AssertClose(FamilyParityTests.Floats(weight.Value), gradients[weight.Name].flatten().data<float>().ToArray(), weight.Name);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Tensors_have_the_names_and_shapes_that_PEFT_writes(string name)
    {
        (LlamaConfig config, LoraSpec lora) = SpecOf(name);
        Assert.Equal(
            Cases[name].GetProperty("shapes").EnumerateObject().Select(p => $"{p.Name} {p.Value.GetRawText()}").Order(StringComparer.Ordinal),
            AdapterTensors.All(lora, config).Select(t => $"{PeftConfig.Prefix}{t.Name} [{string.Join(',', t.Shape)}]").Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_merged_model_has_the_logits_of_the_adapter_beside_it_and_of_PEFT_s_merge(string name)
    {
        using var scope = NewDisposeScope();
        (LlamaConfig config, LoraSpec lora) = SpecOf(name);
        TensorRead From(string prefix) => (tensor, shape, box, target, _) =>
        {
            float[] whole = FamilyParityTests.Values(prefix + tensor, TensorBox.Count(shape));
            foreach ((long from, long to, long length) in new TensorBox(new long[shape.Length], shape).Runs(box, box))
                whole.AsSpan((int)from, (int)length).CopyTo(target.Span[(int)to..]);
            return Task.CompletedTask;
        };
        var merge = new AdapterMerge(lora, (tensor, shape, box, target, c) => From(lora.IsSaved(tensor) ? "trained " : "")(tensor, shape, box, target, c), From("trained "));
        using var model = new LanguageModel(config, Precision.Fp32);
        // In boxes of some rows and columns, as ranks read them.
        model.LoadWeights((slice, values) =>
        {
            float[] whole = new float[slice.Count];
            long rows = slice.Shape[0], columns = slice.Shape.Length == 1 ? 1 : slice.Shape[1], half = Math.Max(1, columns / 2);
            foreach ((long row, long column) in from r in Enumerable.Range(0, (int)((rows + 4) / 5)) from c in columns == 1 ? [0L] : new[] { 0L, half } select (r * 5L, c))
            {
                long height = Math.Min(5, rows - row), width = columns == 1 ? 1 : column == 0 ? half : columns - half;
                float[] part = new float[height * width];
                merge.ReadAsync(slice.Name, slice.Shape, columns == 1 ? new TensorBox([row], [height]) : new TensorBox([row, column], [height, width]), part, CancellationToken.None).GetAwaiter().GetResult();
                for (int r = 0; r < height; r++)
                    part.AsSpan((int)(r * width), (int)width).CopyTo(whole.AsSpan((int)(((row + r) * columns) + column)));
            }

            whole.CopyTo(values);
        });
        using TokenBatch batch = BatchOf(name);
        float[] logits = Logits(model.Blocks, batch);
        FamilyParityTests.AssertClose(Floats(name, "merged"), logits, "merged");
        FamilyParityTests.AssertClose(Floats(name, "logits"), logits, "beside");
    }

    private static (LlamaConfig Config, LoraSpec Lora) SpecOf(string name)
    {
        LlamaConfig config = LlamaConfig.Parse(Cases[name].GetProperty("config").GetRawText(), name);
        return (config, PeftConfig.Parse(Cases[name].GetProperty("adapter_config").GetRawText(), name, config));
    }

    private static LlamaPart Model(LlamaConfig config, LoraSpec lora)
    {
        var model = new LlamaPart(config, Precision.Fp32, PartSpan.Whole(config), new WeightTable(new WeightRates(), lora, true, 0, 1), lora: lora);
        foreach (BlockWeights block in model.Blocks)
        {
            block.Attach(zeros(block.Count));
            block.Base?.Attach(zeros(block.Base.Count));
            foreach (LocalWeight weight in block.Base?.Weights ?? [])
                block[weight.Name].copy_(tensor(FamilyParityTests.Values(weight.Name, weight.Count), weight.Shape));
            foreach (LocalWeight weight in block.Weights)
                block[weight.Name].copy_(tensor(FamilyParityTests.Values("trained " + weight.Name, weight.Count), weight.Shape));
            block.LayRows();
        }

        return model;
    }

    private static float[] Logits(LlamaPart model, TokenBatch batch) => model.Infer(batch).matmul(model.HeadMatrixBlock![model.HeadMatrixName].t()).data<float>().ToArray();

    private static TokenBatch BatchOf(string name)
    {
        int[] Ints(string key) => [.. Cases[name].GetProperty(key).EnumerateArray().Select(v => v.GetInt32())];
        return TokenBatch.From([new PackedRow(Ints("ids"), Ints("ids"), Ints("documents"))]);
    }

    private static float[] Floats(string name, string key) => FamilyParityTests.Floats(Cases[name].GetProperty(key));
}
