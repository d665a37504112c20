using Drover.Trainer.Model.Kernels;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Cross-entropy of rows of logits and its gradient; statistics in fp32. Where ranks share the ids they exchange two numbers a row, never the logits
/// (Shoeybi et al., 2019).
/// </summary>
internal static class CrossEntropy
{
    /// <summary>Uses the logits up.</summary>
    /// <param name="logits">Of this rank's ids, [rows, ids].</param>
    /// <param name="target">The row's id among them, [rows, 1], int64.</param>
    /// <param name="isHere">1 where it is one of them, else 0, [rows, 1], fp32; null where this rank has all.</param>
    /// <param name="vocabulary">Who has the others.</param>
    /// <param name="wantsGradient">Whether there is a backward pass.</param>
    /// <returns>Losses, [rows, 1], fp32, the same on every rank; and softmax less 1 at the target, [rows, ids], in the logits' type, fp16's in fp32.</returns>
    public static (Tensor Losses, Tensor? Gradient) Run(Tensor logits, Tensor target, Tensor? isHere, IVocabularyRanks vocabulary, bool wantsGradient) =>
        RowKernel.Takes(logits) ? ByKernel(logits, target.contiguous(), isHere, vocabulary, wantsGradient) : ByLibrary(logits, target, isHere, vocabulary, wantsGradient);

    private static Tensor TargetsOf(Tensor logits, Tensor target, Tensor? isHere, IVocabularyRanks vocabulary)
    {
        Tensor values = logits.gather(1, target).to(ScalarType.Float32);
        if (isHere is not null)
            values.mul_(isHere);
        vocabulary.Sum(values);
        return values;
    }

    private static (Tensor Losses, Tensor? Gradient) ByKernel(Tensor logits, Tensor target, Tensor? isHere, IVocabularyRanks vocabulary, bool wantsGradient)
    {
        Tensor targets = TargetsOf(logits, target, isHere, vocabulary);
        Tensor normalizer = CrossEntropyKernel.Normalizer(logits, wantsGradient && !vocabulary.IsCut ? target : null);
        if (vocabulary.IsCut)
        {
            normalizer = OverAll(normalizer, vocabulary);
            if (wantsGradient)
                CrossEntropyKernel.Gradient(logits, normalizer, target, isHere!);
        }

        return (normalizer - targets, wantsGradient ? logits : null);
    }

    // The normalizer is read off the largest probability: libtorch's exp and logsumexp of fp32 are ten times slower than its softmax.
    private static (Tensor Losses, Tensor? Gradient) ByLibrary(Tensor logits, Tensor target, Tensor? isHere, IVocabularyRanks vocabulary, bool wantsGradient)
    {
        Tensor targets = TargetsOf(logits, target, isHere, vocabulary);
        Tensor wide = logits.to(ScalarType.Float32);
        logits.Dispose();
        Tensor largest = wide.amax([1], keepdim: true);
        Tensor probabilities = wide.softmax(1);
        // With a large vocabulary the largest tensors of the step: none longer than it is needed.
        wide.Dispose();
        Tensor here = largest - probabilities.amax([1], keepdim: true).log();
        Tensor normalizer = OverAll(here, vocabulary);
        if (vocabulary.IsCut)
            probabilities.mul_((here - normalizer).exp());
        return (normalizer - targets, wantsGradient ? probabilities.scatter_add_(1, target, isHere?.neg() ?? ones_like(targets).neg_()) : null);
    }

    // Of the logarithms of every rank's sum of exponentials, that of their sum.
    private static Tensor OverAll(Tensor here, IVocabularyRanks vocabulary)
    {
        if (!vocabulary.IsCut)
            return here;
        Tensor top = here.clone();
        vocabulary.Max(top);
        Tensor sum = (here - top).exp();
        vocabulary.Sum(sum);
        return top.add(sum.log(), HeldScalars.One);
    }
}
