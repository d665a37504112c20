using System.Runtime.Intrinsics;
using Drover.Trainer.Model;
using Drover.Trainer.Model.Kernels;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

/// <summary>The kernels over rows beside libtorch's operators in fp64 or fp32; bf16 differs by its rounding.</summary>
public sealed class RowKernelTests
{
    private const double Fp32Bound = 2e-6;
    private const double Bf16Bound = 1.0 / 256;

    public static TheoryData<ScalarType, long, long> Shapes() => new()
    {
        { ScalarType.Float32, 1, 16 },
        { ScalarType.Float32, 700, 96 },
        { ScalarType.BFloat16, 3, 32 },
        { ScalarType.BFloat16, 700, 96 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void RMSNorm_and_its_gradients_are_those_of_autograd(ScalarType type, long rows, long n)
    {
        Assert.SkipUnless(Vector512.IsHardwareAccelerated, "this processor has no vectors of 512 bits: libtorch computes");
        using var scope = NewDisposeScope();
        (Tensor x, Tensor w, Tensor dy, Tensor plus) = (Some(type, rows, n), Some(type, n), Some(type, rows, n), Some(type, rows, n));
        Assert.True(RmsNormKernel.Takes(x, w));
        (Tensor wideX, Tensor wideW) = (Wide(x), Wide(w));
        Tensor expected = wideX * (wideX.square().mean([1], keepdim: true) + 1e-5).rsqrt() * wideW;
        expected.backward([Wide(dy).detach()]);
        (Tensor result, Tensor rstd) = RmsNormKernel.Forward(x, w, 1e-5);
        (Tensor dx, Tensor dw) = RmsNormKernel.Backward(dy, x, rstd, w, plus);
        AssertClose(expected, result, type);
        AssertClose(wideX.grad! + Wide(plus).detach(), dx, type);
        AssertClose(wideW.grad!, dw, ScalarType.Float32);
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void SwiGLU_and_its_gradient_are_those_of_autograd(ScalarType type, long rows, long n)
    {
        Assert.SkipUnless(Vector512.IsHardwareAccelerated, "this processor has no vectors of 512 bits: libtorch computes");
        using var scope = NewDisposeScope();
        (Tensor gateUp, Tensor dy) = (Some(type, rows, 2 * n) * 4, Some(type, rows, n));
        Assert.True(SwiGluKernel.Takes(gateUp));
        Tensor wide = Wide(gateUp);
        Tensor expected = nn.functional.silu(wide.narrow(1, 0, n)) * wide.narrow(1, n, n);
        expected.backward([Wide(dy).detach()]);
        AssertClose(expected, SwiGluKernel.Forward(gateUp), type);
        Tensor again = empty_like(dy);
        AssertClose(wide.grad!, SwiGluKernel.Backward(dy, gateUp, again), type);
        AssertClose(expected, again, type);
        Assert.True(SwiGluKernel.Backward(dy, gateUp, null).eq(SwiGluKernel.Backward(dy, gateUp, again)).all().item<bool>());
    }

    [Theory]
    [InlineData(ScalarType.Float32, 64, 128)]
    [InlineData(ScalarType.Float32, 3, 7)]
    [InlineData(ScalarType.BFloat16, 64, 128)]
    [InlineData(ScalarType.BFloat16, 5, 77)]
    public void Softmax_of_masked_scores_and_its_gradient_are_those_of_autograd(ScalarType type, long queries, long keys)
    {
        Assert.SkipUnless(Vector512.IsHardwareAccelerated, "this processor has no vectors of 512 bits: libtorch computes");
        using var scope = NewDisposeScope();
        Tensor scores = Some(type, 4, queries, keys), dp = Some(type, 4, queries, keys);
        // A stretch of a wider mask; each query sees at least the first key.
        Tensor mask = zeros(queries, keys + 9).masked_fill(rand([queries, keys + 9], generator: new Generator(6)).gt(0.6), -1e30).to(type).narrow(1, 4, keys);
        mask.narrow(1, 0, 1).zero_();
        Assert.True(AttentionKernel.Takes(scores, mask));
        Tensor wide = Wide(scores), expected = ((wide * 0.3) + mask.to(ScalarType.Float64)).softmax(-1);
        expected.backward([Wide(dp).detach()]);
        AttentionKernel.Softmax(scores, mask, 0.3);
        AssertClose(expected, scores, type);
        AttentionKernel.Backward(dp, scores);
        AssertClose(wide.grad! / 0.3, dp, type, 8);
    }

    [Theory]
    [InlineData(16)]
    [InlineData(100_003)]
    public void Bf16_values_are_added_to_fp32_sums(long count)
    {
        Assert.SkipUnless(Vector512.IsHardwareAccelerated, "this processor has no vectors of 512 bits: libtorch computes");
        using var scope = NewDisposeScope();
        Tensor sum = Some(ScalarType.Float32, count), values = Some(ScalarType.BFloat16, count), expected = sum.to(ScalarType.Float64) + (values.to(ScalarType.Float64) * 0.7);
        Assert.True(AccumulateKernel.Takes(sum, values));
        AccumulateKernel.Add(sum, values, 0.7f);
        AssertClose(expected, sum, ScalarType.Float32);
    }

    [Theory]
    [InlineData(ScalarType.Float32, 1, 5)]
    [InlineData(ScalarType.Float32, 40, 1003)]
    [InlineData(ScalarType.BFloat16, 7, 64)]
    [InlineData(ScalarType.BFloat16, 40, 1003)]
    public void Cross_entropy_and_its_gradient_are_those_of_the_library(ScalarType type, long rows, long ids)
    {
        Assert.SkipUnless(Vector512.IsHardwareAccelerated, "this processor has no vectors of 512 bits: libtorch computes");
        using var scope = NewDisposeScope();
        Tensor logits = Some(type, rows, ids) * 8, target = randint(ids, [rows, 1], ScalarType.Int64, generator: new Generator(6));
        Tensor wide = logits.to(ScalarType.Float64);
        (Tensor losses, Tensor? gradient) = CrossEntropy.Run(logits.clone(), target, null, new WholeVocabulary(), wantsGradient: true);
        // A small loss is a difference of large numbers.
        Assert.True((wide.logsumexp(1, true) - wide.gather(1, target) - losses).abs().max().item<double>() < 1e-5);
        Tensor expected = wide.softmax(1).scatter_add(1, target, full_like(target, -1, ScalarType.Float64));
        // At the target a probability near 1 less 1.
        AssertClose(expected, gradient!, type, 64);
        Assert.Null(CrossEntropy.Run(logits, target, null, new WholeVocabulary(), wantsGradient: false).Gradient);
    }

    [Fact]
    public void What_is_not_a_number_stays_none()
    {
        Assert.SkipUnless(Vector512.IsHardwareAccelerated, "this processor has no vectors of 512 bits: libtorch computes");
        using var scope = NewDisposeScope();
        Tensor logits = zeros(2, 64);
        logits[1, 3] = float.NaN;
        (Tensor losses, Tensor? gradient) = CrossEntropy.Run(logits, zeros([2, 1], ScalarType.Int64), null, new WholeVocabulary(), wantsGradient: true);
        Assert.Equal([false, true], losses.isnan().flatten().data<bool>().ToArray());
        Assert.Equal([false, true], gradient!.isnan().any(1).data<bool>().ToArray());
        Assert.True(SwiGluKernel.Forward(full([1, 32], float.NaN, ScalarType.BFloat16)).isnan().all().item<bool>());
    }

    [Fact]
    public void Bf16_is_rounded_as_libtorch_rounds_it()
    {
        Assert.SkipUnless(Vector512.IsHardwareAccelerated, "this processor has no vectors of 512 bits: libtorch computes");
        using var scope = NewDisposeScope();
        // All upper halves with lower halves around the tie.
        int[] bits = [.. Enumerable.Range(0, 1 << 16).SelectMany(upper => new[] { 0, 0x7FFF, 0x8000, 0x8001 }.Select(lower => (upper << 16) | lower))];
        Tensor wide = tensor([.. bits.Select(BitConverter.Int32BitsToSingle)]).view(-1, 1, 32);
        Tensor rounded = empty([wide.shape[0], 1, 32], ScalarType.BFloat16);
        RotaryKernel.FromHeads(wide.transpose(0, 1), rounded, null, null);
        Tensor expected = wide.to(ScalarType.BFloat16);
        Assert.True(expected.isnan().eq(rounded.isnan()).all().item<bool>());
        Assert.True(expected.nan_to_num(0, 1, -1).eq(rounded.nan_to_num(0, 1, -1)).all().item<bool>());
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void Heads_are_turned_and_turned_back(ScalarType type)
    {
        Assert.SkipUnless(Vector512.IsHardwareAccelerated, "this processor has no vectors of 512 bits: libtorch computes");
        using var scope = NewDisposeScope();
        Tensor all = Some(type, 50, 5, 64), angles = rand([50, 32], generator: new Generator(6)).mul(6);
        Tensor cos = cat([angles.cos(), angles.cos()], 1).to(type).unsqueeze(1), sin = cat([angles.sin(), angles.sin()], 1).to(type).unsqueeze(1);
        // Of heads 1 to 3 of 5, as a projection holds them.
        Tensor tokens = all.narrow(1, 1, 3), wide = tokens.to(ScalarType.Float64);
        Assert.True(RotaryKernel.Takes(tokens));
        Tensor expected = (wide * cos) + (cat([-wide.narrow(2, 32, 32), wide.narrow(2, 0, 32)], 2) * sin);
        Tensor heads = RotaryKernel.ToHeads(tokens, cos, sin);
        AssertClose(expected.transpose(0, 1), heads, type);
        Tensor back = zeros(50, 5, 64, dtype: type);
        RotaryKernel.FromHeads(heads.to(ScalarType.Float32), back.narrow(1, 1, 3), cos, -sin);
        AssertClose(wide, back.narrow(1, 1, 3), type, 16);
        Assert.False(back.narrow(1, 0, 1).any().item<bool>() || back.narrow(1, 4, 1).any().item<bool>());
        RotaryKernel.FromHeads(RotaryKernel.ToHeads(tokens, null, null), back.narrow(1, 1, 3), null, null);
        Assert.True(tokens.eq(back.narrow(1, 1, 3)).all().item<bool>());
    }

    private static Tensor Some(ScalarType type, params long[] shape) => randn(shape, generator: new Generator(5)).to(type);

    private static Tensor Wide(Tensor t) => t.detach().to(ScalarType.Float64).clone().requires_grad_(true);

    private static void AssertClose(Tensor expected, Tensor actual, ScalarType type, double times = 1)
    {
        double bound = times * (type == ScalarType.BFloat16 ? Bf16Bound : Fp32Bound), largest = expected.abs().max().item<double>();
        Tensor apart = (expected.detach() - actual.to(ScalarType.Float64)).abs();
        Assert.True(apart.le((expected.detach().abs() * bound) + (largest * bound / 16)).all().item<bool>(), $"{apart.max().item<double>()} apart, of {largest}");
    }
}
