namespace Drover.Trainer.Collectives;

/// <summary>What has to be known of GPUs before ranks compute on them.</summary>
public static class Gpus
{
    /// <summary>Generation of a GPU of this process, from 0: 8 for Ampere, 9 for Hopper.</summary>
    /// <exception cref="Drover.Errors.DroverException">Unavailable where the driver does not answer.</exception>
    /// <remarks>Not run on a GPU yet.</remarks>
    public static int ComputeCapability(int device) => CudaDriver.ComputeCapability(device);
}
