using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Testing;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

/// <summary>
/// Tiny models of every family and every switch against what transformers computes for them (tests/goldens/families.py), rows of several
/// documents.
/// </summary>
public sealed class FamilyParityTests
{
    private const double Tolerance = 1e-4;

    private static readonly Dictionary<string, JsonElement> Cases = Read();

    public static TheoryData<string> Names() => [.. Cases.Keys];

    public static TheoryData<string> NamesWithGradients() => [.. Cases.Where(c => c.Value.TryGetProperty("gradients", out _)).Select(c => c.Key)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Logits_equal_those_of_transformers_within_1e_4(string name)
    {
        float[] expected = Floats(Cases[name].GetProperty("logits"));
        // As people write configs, as transformers 5 does, and as Drover does.
        LlamaConfig given = ConfigOf(name, "given");
        foreach (LlamaConfig config in new[] { given, ConfigOf(name, "written"), LlamaConfig.Parse(given.ToJson(), name) })
        {
            using var scope = NewDisposeScope();
            using LlamaPart model = Model(config);
            using TokenBatch batch = BatchOf(name);
            float[] logits = model.Infer(batch).matmul(model.HeadMatrixBlock![model.HeadMatrixName].t()).data<float>().ToArray();
            AssertClose(expected, logits, name);
        }
    }

    [Theory]
    [MemberData(nameof(NamesWithGradients))]
    public void Gradients_equal_those_of_transformers_within_1e_4(string name)
    {
        using var scope = NewDisposeScope();
        using LlamaPart model = Model(ConfigOf(name, "given"));
        using TokenBatch batch = BatchOf(name);
        Dictionary<string, Tensor> gradients = GradientTests.Written(model, batch, scale: 1).Gradients;
        JsonElement expected = Cases[name].GetProperty("gradients");
        Assert.Equal(expected.EnumerateObject().Select(p => p.Name).Order(StringComparer.Ordinal), gradients.Keys.Order(StringComparer.Ordinal));
        foreach (JsonProperty weight in expected.EnumerateObject())
        {
            AssertClose(Floats(weight.Value), gradients[weight.Name].flatten().data<float>().ToArray(), weight.Name);
        }
    }

    [Fact]
    public void Every_family_has_a_case() =>
        Assert.Equal(ModelFamily.All.Select(f => f.ModelType).Order(StringComparer.Ordinal), Cases.Keys.Select(n => ConfigOf(n, "given").ModelType).Distinct().Order(StringComparer.Ordinal));

    [Fact]
    public void Every_rotary_rule_has_a_case() =>
        Assert.Equal(Enum.GetValues<RopeType>(), Cases.Keys.Select(n => RotaryScaling.Of(ConfigOf(n, "given")).Type).Distinct().Order());

    internal static void AssertClose(float[] expected, float[] actual, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        double apart = expected.Zip(actual, (a, b) => (double)Math.Abs(a - b)).Max();
        // Of values around ten the last place of fp32 alone is 1e-6, and sums have thousands of terms.
        double largest = expected.Max(Math.Abs);
        Assert.True(apart <= Math.Max(Tolerance, largest * 1e-5), $"{what}: {apart} apart, the largest value is {largest}");
    }

    private static LlamaPart Model(LlamaConfig config)
    {
        var model = new LlamaPart(config, Precision.Fp32, PartSpan.Whole(config));
        foreach (BlockWeights block in model.Blocks)
        {
            block.Attach(zeros(block.Count));
            foreach (LocalWeight weight in block.Weights)
                block[weight.Name].copy_(tensor(Values(weight.Name, weight.Count), weight.Shape));
        }

        return model;
    }

    // The function of the same name in families.py.
    internal static float[] Values(string name, long count)
    {
        uint key = Encoding.UTF8.GetBytes(name).Aggregate(0u, (k, b) => unchecked((k * 31) + b));
        float[] values = new float[count];
        for (uint i = 0; i < count; i++)
        {
            uint mixed = unchecked((i * 40503) + key);
            mixed = unchecked((mixed ^ (mixed >> 15)) * 0x2C1B3C6D);
            mixed = (mixed ^ (mixed >> 12)) & 0xFFFF;
            values[i] = (((int)mixed - 32768) / 65536f) + (name.Contains("norm", StringComparison.Ordinal) || name.Contains("magnitude", StringComparison.Ordinal) ? 1 : 0);
        }

        return values;
    }

    private static TokenBatch BatchOf(string name)
    {
        int[] Ints(string key) => [.. Cases[name].GetProperty(key).EnumerateArray().Select(v => v.GetInt32())];
        return TokenBatch.From([new PackedRow(Ints("ids"), Ints("ids"), Ints("documents"))]);
    }

    internal static LlamaConfig ConfigOf(string name, string form) => LlamaConfig.Parse(Cases[name].GetProperty(form).GetRawText(), name);

    internal static float[] Floats(JsonElement base64) => MemoryMarshal.Cast<byte, float>(base64.GetBytesFromBase64()).ToArray();

    private static Dictionary<string, JsonElement> Read()
    {
        string file = Path.Combine(Checkout.Root, "tests/goldens/families.golden.json");
        return JsonElement.Parse(File.ReadAllText(file)).EnumerateArray().ToDictionary(c => c.GetProperty("name").GetString()!, StringComparer.Ordinal);
    }
}
