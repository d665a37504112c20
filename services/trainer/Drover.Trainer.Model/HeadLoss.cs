using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Output head and cross-entropy with their backward pass, over slices of tokens: the logits of a whole batch never exist
/// (the idea of Cut Cross-Entropy, Wijmans et al., 2024, without its kernels). Softmax statistics are fp32. Where ranks share the
/// vocabulary they exchange two numbers a token, never the logits (Shoeybi et al., 2019).
/// </summary>
public static class HeadLoss
{
    /// <summary>Loss of some hidden states, and, where gradients are wanted, their gradient.</summary>
    /// <param name="hidden">Normed hidden states of the labelled tokens, [labels, hidden].</param>
    /// <param name="targets">[labels], int64.</param>
    /// <param name="matrix">This rank's rows of the head, [vocab, hidden].</param>
    /// <param name="vocabulary">Who holds the others.</param>
    /// <param name="chunkTokens">Tokens of a slice; 0 for all at once.</param>
    /// <param name="scale">The loss is multiplied by this before it is differentiated (1 / labels of the global step).</param>
    /// <param name="matrixGradient">Where the head's gradient is added, fp32, [vocab, hidden]; null when none is wanted (the head is frozen).</param>
    /// <param name="hiddenGradient">[labels, hidden], filled with this rank's part of the sum; null for no backward pass at all.</param>
    /// <param name="firstGradientRow">The first row of the head that <paramref name="matrixGradient"/> is of: it may be of some rows only.</param>
    /// <returns>The unscaled sum of losses, nats, a scalar in fp64 on the device (reading it waits for the device): the same on every rank of the vocabulary.</returns>
    public static Tensor Run(Tensor hidden, Tensor targets, Tensor matrix, IVocabularyRanks vocabulary, int chunkTokens, double scale, Tensor? matrixGradient, Tensor? hiddenGradient, long firstGradientRow = 0)
    {
        long labels = hidden.shape[0], size = chunkTokens == 0 ? Math.Max(labels, 1) : chunkTokens;
        Tensor loss = zeros([], ScalarType.Float64, hidden.device);
        for (long start = 0; start < labels; start += size)
        {
            using var scope = NewDisposeScope();
            long count = Math.Min(size, labels - start);
            Tensor h = hidden.narrow(0, start, count);
            (Tensor target, Tensor? mine) = VocabularyRows.Locate(targets.narrow(0, start, count).unsqueeze(1), vocabulary, matrix.shape[0]);
            (Tensor losses, Tensor? logitGradient) = CrossEntropy.Run(h.matmul(matrix.t()), target, mine, vocabulary, hiddenGradient is not null);
            loss.add_(losses.sum(ScalarType.Float64), HeldScalars.One);
            if (hiddenGradient is null || logitGradient is null)
                continue;
            // fp16 holds small probabilities only once they are scaled up; elsewhere the smaller tensors are scaled.
            using TorchSharp.Scalar held = scale;
            bool isEarly = hidden.dtype == ScalarType.Float16;
            Tensor gradient = (isEarly ? logitGradient.mul_(held) : logitGradient).to(hidden.dtype);
            if (gradient.dtype != logitGradient.dtype)
                logitGradient.Dispose();
            Tensor product = gradient.matmul(matrix);
            hiddenGradient.narrow(0, start, count).copy_(isEarly ? product : product.mul_(held));
            Gradients.AddProduct(matrixGradient, matrixGradient is null || matrixGradient.shape[0] == gradient.shape[1] ? gradient : gradient.narrow(1, firstGradientRow, matrixGradient.shape[0]), h, isEarly ? 1 : scale);
        }

        return loss;
    }
}
