using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// <see cref="BlockQuantization"/> by libtorch's own kernels, for values on a GPU: the same bytes. In host memory its search among boundaries takes ten
/// times as long as a table does.
/// </summary>
internal static class BlockQuantizationScript
{
    // The parser wants a line end after the last statement: hence the empty last line.
    private const string Source = """
        def quantize(x: Tensor, midpoints: Tensor):
            rows = x.view(-1, 256)
            most = torch.amax(rows, 1, True)
            least = torch.amin(rows, 1, True)
            largest = torch.where(most >= -least, most, least)
            safe = torch.where(largest == 0.0, torch.ones_like(largest), largest)
            return torch.bucketize(rows / safe, midpoints, out_int32=True).to(0).flatten(), largest.flatten()

        def dequantize(codes: Tensor, scales: Tensor, numbers: Tensor) -> Tensor:
            values = torch.index_select(numbers, 0, codes.to(3)).view(-1, 256)
            return values.mul_(scales.unsqueeze(1)).flatten()

        """;

    private static readonly jit.CompilationUnit Unit = jit.compile(Source);

    /// <summary>Fills codes and scales.</summary>
    public static void Quantize(Tensor values, Tensor codes, Tensor scales, float[] midpoints)
    {
        using var scope = NewDisposeScope();
        if (Unit.invoke("quantize", values, tensor(midpoints, device: values.device)) is not ValueTuple<Tensor, Tensor> known)
            throw new InvalidOperationException("The script gave no two tensors.");
        codes.copy_(known.Item1);
        scales.copy_(known.Item2);
    }

    /// <summary>Fills the values.</summary>
    public static void Dequantize(Tensor codes, Tensor scales, Tensor values, float[] numbers)
    {
        using var scope = NewDisposeScope();
        values.copy_((Tensor)Unit.invoke("dequantize", codes, scales, tensor(numbers, device: values.device))!);
    }
}
