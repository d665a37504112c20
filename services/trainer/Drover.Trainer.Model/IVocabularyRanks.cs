using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>The ranks among which the rows of embedding and head (one for each id) are shared out.</summary>
public interface IVocabularyRanks
{
    /// <summary>Id of this rank's first row.</summary>
    long FirstId { get; }

    /// <summary>Whether other ranks hold other rows.</summary>
    bool IsCut { get; }

    /// <summary>The largest over the ranks, in place; fp32, contiguous.</summary>
    void Max(Tensor values);

    /// <summary>The sum over the ranks, in place; fp32, contiguous.</summary>
    void Sum(Tensor values);
}

/// <summary>One rank holds all rows.</summary>
public sealed class WholeVocabulary : IVocabularyRanks
{
    /// <inheritdoc />
    public long FirstId => 0;

    /// <inheritdoc />
    public bool IsCut => false;

    /// <inheritdoc />
    public void Max(Tensor values)
    {
    }

    /// <inheritdoc />
    public void Sum(Tensor values)
    {
    }
}
