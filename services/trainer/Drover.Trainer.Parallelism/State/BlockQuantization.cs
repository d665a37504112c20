using System.Collections.Concurrent;
using TorchSharp;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// Values in 8 bits, in blocks that share a scale: a code says which of 256 fixed numbers of [-1, 1] (or [0, 1]) is nearest to the value divided by the
/// scale. The numbers lie closer to each other near 0: the dynamic tree of Dettmers et al., "8-bit Optimizers via Block-wise
/// Quantization" (2022). The scale is the value of the block that is largest in magnitude, with its sign (there, its magnitude): it is one of
/// the 256 times itself, so that values that were quantized once do not change when they are quantized again.
/// </summary>
internal static class BlockQuantization
{
    private const int ExponentBits = 7;

    // The parser wants a line end after the last statement: hence the empty last line.
    private const string Source = """
        def quantize(x: Tensor, midpoints: Tensor):
            rows = x.view(-1, 256)
            largest = torch.gather(rows, 1, torch.argmax(torch.abs(rows), 1, True))
            safe = torch.where(largest == 0.0, torch.ones_like(largest), largest)
            return torch.bucketize(rows / safe, midpoints, out_int32=True).to(0).flatten(), largest.flatten()

        def dequantize(codes: Tensor, scales: Tensor, numbers: Tensor) -> Tensor:
            values = torch.index_select(numbers, 0, codes.to(3)).view(-1, 256)
            return values.mul_(scales.unsqueeze(1)).flatten()

        """;

    private static readonly jit.CompilationUnit Unit = jit.compile(Source);
    private static readonly ConcurrentDictionary<(bool IsSigned, DeviceType Type, int Index), Table> Tables = new();

    /// <summary>Codes, one byte a value, and scales, fp32, one a block.</summary>
    /// <param name="values">Fp32, flat, whole blocks.</param>
    /// <param name="isSigned">Whether some may be negative.</param>
    public static (Tensor Codes, Tensor Scales) Quantize(Tensor values, bool isSigned) =>
        Unit.invoke("quantize", values, TableOf(isSigned, values.device).Midpoints) is ValueTuple<Tensor, Tensor> two ? two : throw new InvalidOperationException("The script gave no two tensors.");

    /// <summary>The values of <see cref="Quantize"/>, fp32, flat.</summary>
    public static Tensor Dequantize(Tensor codes, Tensor scales, bool isSigned) => (Tensor)Unit.invoke("dequantize", codes, scales, TableOf(isSigned, codes.device).Numbers)!;

    /// <summary>
    /// The 256 numbers, rising. For each power of ten from 1e-6 to 1 the middles of equal stretches of a tenth of it to it, twice as many for each power (of
    /// either sign where there are signs); and 0 and 1.
    /// </summary>
    public static float[] NumbersOf(bool isSigned)
    {
        var numbers = new List<double> { 0, 1 };
        for (int i = 0; i < ExponentBits; i++)
        {
            int count = isSigned ? 1 << i : 2 << i;
            for (int k = 0; k < count; k++)
            {
                double number = Math.Pow(10, i - ExponentBits + 1) * (0.1 + (0.9 * (k + 0.5) / count));
                numbers.Add(number);
                if (isSigned)
                    numbers.Add(-number);
            }
        }

        return [.. numbers.Order().Select(n => (float)n)];
    }

    private static Table TableOf(bool isSigned, Device device) => Tables.GetOrAdd((isSigned, device.type, device.index), _ => new Table(isSigned, device));

    private sealed class Table
    {
        public Table(bool isSigned, Device device)
        {
            float[] numbers = NumbersOf(isSigned);
            Numbers = tensor(numbers, device: device).DetachFromDisposeScope();
            Midpoints = tensor(numbers.Skip(1).Zip(numbers, (a, b) => (a + b) / 2).ToArray(), device: device).DetachFromDisposeScope();
        }

        public Tensor Numbers { get; }

        public Tensor Midpoints { get; }
    }
}
