using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>What dropout multiplies its input by: 0 with the given probability, else 1 / (1 - probability).</summary>
public interface IDropoutMasks
{
    /// <summary>The mask of some features of a micro-batch's tokens, [tokens, count], in the caller's dispose scope: the same each time it is asked for.</summary>
    /// <param name="place">Where in the model.</param>
    /// <param name="features">All features there.</param>
    /// <param name="first">The first of those wanted.</param>
    /// <param name="count">How many.</param>
    /// <param name="type">Of the mask.</param>
    Tensor Of(string place, long features, long first, long count, ScalarType type);
}
