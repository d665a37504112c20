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
            Tensor isHere = mine ?? ones_like(target, ScalarType.Float32);
            Tensor logits = LogitsOf(h, matrix);
            Tensor targetLogits = logits.gather(1, target).mul_(isHere);
            vocabulary.Sum(targetLogits);
            (Tensor probabilities, Tensor normalizer) = Softmax(logits, vocabulary);
            loss.add_((normalizer - targetLogits).sum(ScalarType.Float64), HeldScalars.One);
            if (hiddenGradient is null)
                continue;
            // d loss / d logits = softmax - one-hot.
            probabilities.scatter_add_(1, target, isHere.neg());
            // fp16 holds small probabilities only once they are scaled up; elsewhere the smaller tensors are scaled.
            using TorchSharp.Scalar held = scale;
            bool isEarly = hidden.dtype == ScalarType.Float16;
            Tensor gradient = (isEarly ? probabilities.mul_(held) : probabilities).to(hidden.dtype);
            // With a large vocabulary the largest tensors of the step: none longer than it is needed.
            probabilities.Dispose();
            Tensor product = gradient.matmul(matrix);
            hiddenGradient.narrow(0, start, count).copy_(isEarly ? product : product.mul_(held));
            Gradients.AddProduct(matrixGradient, matrixGradient is null || matrixGradient.shape[0] == gradient.shape[1] ? gradient : gradient.narrow(1, firstGradientRow, matrixGradient.shape[0]), h, isEarly ? 1 : scale);
        }

        return loss;
    }

    private static Tensor LogitsOf(Tensor hidden, Tensor matrix)
    {
        using Tensor product = hidden.matmul(matrix.t());
        return product.to(ScalarType.Float32);
    }

    // Probabilities of this rank's ids and the logarithm of the sum of exponentials over all ids, [labels, 1]. That logarithm is
    // read off the largest probability: libtorch's exp and logsumexp of fp32 are ten times slower than its softmax.
    private static (Tensor Probabilities, Tensor Normalizer) Softmax(Tensor logits, IVocabularyRanks vocabulary)
    {
        Tensor largest = logits.amax([1], keepdim: true);
        Tensor probabilities = logits.softmax(1);
        logits.Dispose();
        Tensor here = largest - probabilities.amax([1], keepdim: true).log();
        if (!vocabulary.IsCut)
            return (probabilities, here);
        Tensor top = here.clone();
        vocabulary.Max(top);
        Tensor sum = (here - top).exp();
        vocabulary.Sum(sum);
        Tensor all = top.add(sum.log(), HeldScalars.One);
        probabilities.mul_((here - all).exp());
        return (probabilities, all);
    }
}
