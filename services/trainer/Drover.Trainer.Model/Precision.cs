namespace Drover.Trainer.Model;

/// <summary>Number format of compute weights and activations.</summary>
public enum Precision
{
    /// <summary>32-bit floats throughout.</summary>
    Fp32 = 1,

    /// <summary>bf16 products with fp32 sums; norms, loss and softmax statistics in fp32.</summary>
    Bf16 = 2,

    /// <summary>fp16 products, of which gradients need a loss scale; norms, loss and softmax statistics in fp32.</summary>
    Fp16 = 3,
}
