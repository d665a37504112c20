using TorchSharp;

namespace Drover.Trainer.Model;

/// <summary>
/// Scalars that live as long as the process. TorchSharp makes one for each number of a call and gives only its address to the library: if
/// another thread collects garbage at that moment, the finalizer frees it while the library reads it. So a tensor is added with a scalar that
/// is held here (the operator + makes one of its own), and one that is made for a call is held by the caller until the call is over.
/// </summary>
public static class HeldScalars
{
    /// <summary>1, the usual factor of what is added.</summary>
    public static Scalar One { get; } = 1;
}
