using Drover.Errors;
using Drover.Trainer.Collectives;
using Drover.Trainer.Parallelism;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

/// <summary>AdamW with 8-bit moments: against the definition, on layouts, and after a resume.</summary>
public sealed class QuantizedMomentTests
{
    private static readonly EngineSpec Spec = SmallRun.Spec with { MicroBatchRows = 1, Optimizer = SmallRun.Spec.Optimizer with { Kind = OptimizerKind.AdamW8Bit } };

    private static readonly Dictionary<string, (int Ranks, ParallelSpec Parallel)> Layouts = new(StringComparer.Ordinal)
    {
        ["ddp"] = (2, new()),
        ["zero1"] = (2, new() { Placement = StatePlacement.Zero1 }),
        ["zero2 offload"] = (2, new() { Placement = StatePlacement.Zero2, OffloadOptimizer = true }),
        ["zero3 of 4"] = (4, new() { Placement = StatePlacement.Zero3 }),
        ["pp 2 x dp 2 zero2"] = (4, new() { PipelineParallel = 2, Placement = StatePlacement.Zero2 }),
        ["ring 2 zero1"] = (2, new() { SequenceParallel = 2, SequenceMode = SequenceMode.Ring, Placement = StatePlacement.Zero1 }),
    };

    public static TheoryData<string> Names() => [.. Layouts.Keys];

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_256_numbers_are_those_of_the_dynamic_tree(bool isSigned)
    {
        float[] numbers = BlockQuantization.NumbersOf(isSigned);
        Assert.Equal(256, numbers.Distinct().Count());
        Assert.Equal(1, numbers[^1]);
        Assert.Contains(0f, numbers);
        // The ends as they are published: 127 / 128 of the way in the last tenth, and the first of the smallest power.
        Assert.Equal(isSigned ? -0.99296875f : 0, numbers[0], 1e-7f);
        Assert.Equal(isSigned ? 0.55e-6f : 0.325e-6f, numbers.First(n => n > 0), 1e-11f);
        Assert.Equal(numbers.Order(), numbers);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_value_becomes_the_nearest_number_times_the_scale_and_stays_it(bool isSigned)
    {
        using var scope = NewDisposeScope();
        var random = new Random(2);
        float[] values = [.. Enumerable.Range(0, 64 * 1024).Select(i => (float)((isSigned ? random.NextDouble() - 0.5 : random.NextDouble()) * Math.Pow(10, -random.Next(6))))];
        // A block of zeros; one whose largest is negative.
        Array.Clear(values, 256, 256);
        if (isSigned)
            values[700] = -3;
        BlockQuantization quantization = isSigned ? BlockQuantization.Signed : BlockQuantization.Unsigned;
        Tensor codes = zeros([values.Length], ScalarType.Byte), scales = zeros(values.Length / 256), back = zeros(values.Length);
        quantization.Quantize(tensor(values), codes, scales);
        quantization.Dequantize(codes, scales, back);
        float[] known = back.data<float>().ToArray(), numbers = BlockQuantization.NumbersOf(isSigned);
        for (int i = 0; i < values.Length; i++)
        {
            float scale = values.AsSpan(i / 256 * 256, 256).ToArray().MaxBy(Math.Abs);
            float nearest = numbers.MinBy(n => Math.Abs((n * scale) - values[i])) * scale;
            Assert.Equal(Math.Abs(nearest - values[i]), Math.Abs(known[i] - values[i]), 1e-7 * Math.Abs(scale));
        }

        Tensor again = zeros_like(codes), scalesAgain = zeros_like(scales);
        quantization.Quantize(tensor(known), again, scalesAgain);
        Assert.Equal(codes.data<byte>().ToArray(), again.data<byte>().ToArray());
        Assert.Equal(scales.data<float>().ToArray(), scalesAgain.data<float>().ToArray());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_script_for_GPUs_gives_the_same_bytes(bool isSigned)
    {
        using var scope = NewDisposeScope();
        var random = new Random(3);
        float[] values = [.. Enumerable.Range(0, 64 * 256).Select(i => (float)((isSigned ? random.NextDouble() - 0.5 : random.NextDouble()) * Math.Pow(10, -random.Next(9))))];
        Array.Clear(values, 256, 256);
        // The largest twice, with both signs.
        if (isSigned)
            (values[600], values[601]) = (-3, 3);
        BlockQuantization quantization = isSigned ? BlockQuantization.Signed : BlockQuantization.Unsigned;
        Tensor codes = zeros([values.Length], ScalarType.Byte), scales = zeros(values.Length / 256), back = zeros(values.Length);
        Tensor scriptCodes = zeros_like(codes), scriptScales = zeros_like(scales), scriptBack = zeros_like(back);
        quantization.Quantize(tensor(values), codes, scales);
        quantization.Dequantize(codes, scales, back);
        BlockQuantizationScript.Quantize(tensor(values), scriptCodes, scriptScales, quantization.Midpoints);
        BlockQuantizationScript.Dequantize(scriptCodes, scriptScales, scriptBack, BlockQuantization.NumbersOf(isSigned));
        Assert.Equal(codes.data<byte>().ToArray(), scriptCodes.data<byte>().ToArray());
        Assert.Equal(scales.data<float>().ToArray(), scriptScales.data<float>().ToArray());
        Assert.Equal(back.data<float>().ToArray(), scriptBack.data<float>().ToArray());
    }

    [Fact]
    public void An_update_is_AdamW_on_the_values_that_were_kept()
    {
        using TrainingEngine quantized = SmallRun.Engine(Spec, SmallRun.Config), plain = SmallRun.Engine(SmallRun.Spec with { MicroBatchRows = 1 }, SmallRun.Config);
        for (int step = 0; step < 4; step++)
        {
            Dictionary<string, float[]> before = StateOf(quantized);
            quantized.Step();
            // The same step from the same state with moments in fp32, which are then quantized: block by block of the flat state.
            plain.LoadState(step, (slice, values) => before[Key(slice)].CopyTo(values));
            plain.Step();
            Dictionary<string, float[]> after = StateOf(quantized), expected = StateOf(plain);
            foreach (StateSlice slice in quantized.State)
            {
                double largest = expected[Key(slice)].Max(Math.Abs), apart = expected[Key(slice)].Zip(after[Key(slice)], (a, b) => (double)Math.Abs(a - b)).Max();
                // Weights exactly; a moment within half a step of the coarsest of the 256 numbers, of the largest in its block.
                double allowed = slice.Kind == "weight" ? 1e-7 : 0.008 * expected.Where(e => e.Key.StartsWith(slice.Kind, StringComparison.Ordinal)).Max(e => e.Value.Max(Math.Abs));
                Assert.True(apart <= allowed, $"{Key(slice)}: {apart} apart, of {largest}");
            }
        }
    }

    [Fact]
    public void A_run_goes_on_exactly()
    {
        using TrainingEngine whole = SmallRun.Engine(Spec, SmallRun.Config);
        for (int i = 0; i < 4; i++)
            whole.Step();
        Dictionary<string, float[]> saved = StateOf(whole);
        using TrainingEngine second = SmallRun.Engine(Spec, SmallRun.Config);
        second.LoadState(4, (slice, values) => saved[Key(slice)].CopyTo(values));
        Assert.Equal(saved.SelectMany(s => s.Value), StateOf(second).SelectMany(s => s.Value));
        for (int i = 0; i < 4; i++)
            Assert.Equal(whole.Step().Loss, second.Step().Loss);
        Assert.Equal(StateOf(whole).SelectMany(s => s.Value), StateOf(second).SelectMany(s => s.Value));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_layout_trains_the_model_that_one_rank_trains(string layout)
    {
        (int ranks, ParallelSpec parallel) = Layouts[layout];
        StepResult[] expected = SmallRun.Run(Spec, steps: 12);
        var all = new StepResult[ranks][];
        ThreadRanks.Run(ranks, collectives => all[collectives.Rank] = SmallRun.Run(Spec with { Parallel = parallel }, steps: 12, collectives: collectives));
        foreach (StepResult[] steps in all)
            SmallRun.AssertSame(expected, steps, 1e-3);
    }

    [Fact]
    public void Losses_stay_close_to_those_of_moments_in_fp32()
    {
        StepResult[] exact = SmallRun.Run(SmallRun.Spec with { MicroBatchRows = 1 }), quantized = SmallRun.Run(Spec);
        Assert.True(exact[^1].Loss < exact[0].Loss);
        Assert.InRange(quantized[^1].Loss / exact[^1].Loss, 0.99, 1.01);
        Assert.NotEqual(exact[^1].Loss, quantized[^1].Loss);
    }

    [Fact]
    public void Gemini_is_refused_with_the_reason()
    {
        DroverException refused = Assert.Throws<DroverException>(() => SmallRun.Engine(Spec with { Parallel = new ParallelSpec { Placement = StatePlacement.Gemini } }, SmallRun.Config));
        Assert.Contains("gemini", refused.Message, StringComparison.Ordinal);
        Assert.Contains("zero2", refused.Message, StringComparison.Ordinal);
    }

    private static string Key(StateSlice slice) => $"{slice.Kind} {slice.Name} {string.Join(',', slice.Offset)}";

    private static Dictionary<string, float[]> StateOf(TrainingEngine engine) => engine.State.ToDictionary(Key, slice =>
    {
        float[] values = new float[slice.Count];
        engine.CopyState(slice, values);
        return values;
    });
}
