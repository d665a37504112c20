namespace Drover.Trainer.Layout;

/// <summary>What memory of a rank is for.</summary>
public enum MemoryClass
{
    /// <summary>Compute weights.</summary>
    Weights = 0,

    /// <summary>Gradients of weights, fp32.</summary>
    Gradients = 1,

    /// <summary>Master weights and moments, fp32.</summary>
    Optimizer = 2,

    /// <summary>What is kept between forward and backward.</summary>
    Activations = 3,

    /// <summary>Gathered weights, gradients before they are reduced, staging.</summary>
    Buffers = 4,
}

/// <summary>Where memory is. On a machine without an accelerator both are the machine's, counted apart all the same.</summary>
public enum MemoryPlace
{
    /// <summary>Where the model computes.</summary>
    Device = 0,

    /// <summary>The machine's main memory.</summary>
    Host = 1,
}
