using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Output head and cross-entropy with their backward pass, over slices of tokens: the logits of a whole batch never exist
/// (the idea of Cut Cross-Entropy, Wijmans et al., 2024, without its kernels). Softmax statistics are fp32.
/// </summary>
public static class HeadLoss
{
    /// <summary>Loss of some hidden states, and, where gradients are wanted, their gradient.</summary>
    /// <param name="hidden">Normed hidden states of the labelled tokens, [labels, hidden].</param>
    /// <param name="targets">[labels], int64.</param>
    /// <param name="matrix">The head, [vocab, hidden].</param>
    /// <param name="chunkTokens">Tokens of a slice; 0 for all at once.</param>
    /// <param name="scale">The loss is multiplied by this before it is differentiated (1 / labels of the global step).</param>
    /// <param name="matrixGradient">Where the head's gradient is added, fp32, [vocab, hidden]; null when none is wanted.</param>
    /// <param name="hiddenGradient">[labels, hidden], filled; null when none is wanted.</param>
    /// <returns>The unscaled sum of losses, nats.</returns>
    public static double Run(Tensor hidden, Tensor targets, Tensor matrix, int chunkTokens, double scale, Tensor? matrixGradient, Tensor? hiddenGradient)
    {
        using var _ = no_grad();
        long labels = hidden.shape[0], size = chunkTokens == 0 ? Math.Max(labels, 1) : chunkTokens;
        double loss = 0;
        for (long start = 0; start < labels; start += size)
        {
            using var scope = NewDisposeScope();
            long count = Math.Min(size, labels - start);
            Tensor h = hidden.narrow(0, start, count);
            Tensor target = targets.narrow(0, start, count).unsqueeze(1);
            Tensor logits = h.matmul(matrix.t()).to(ScalarType.Float32);
            Tensor normalizer = logits.logsumexp(1, keepdim: true);
            loss += (normalizer - logits.gather(1, target)).sum(ScalarType.Float64).item<double>();
            if (matrixGradient is null || hiddenGradient is null)
                continue;
            // d loss / d logits = softmax - one-hot.
            logits.sub_(normalizer).exp_();
            logits.scatter_add_(1, target, full_like(target, -1, ScalarType.Float32));
            Tensor gradient = logits.mul_(scale).to(hidden.dtype);
            hiddenGradient.narrow(0, start, count).copy_(gradient.matmul(matrix));
            if (hidden.dtype == ScalarType.Float32)
                matrixGradient.addmm_(gradient.t(), h);
            else
                matrixGradient.add_(gradient.t().matmul(h));
        }

        return loss;
    }
}
