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

/// <summary>Where ids lie among the rows that this rank holds.</summary>
internal static class VocabularyRows
{
    /// <summary>
    /// The row of each id, and 1 (fp32) where it is one of this rank's, else 0 and row 0; null where the rank holds all rows.
    /// </summary>
    public static (Tensor Row, Tensor? IsHere) Locate(Tensor ids, IVocabularyRanks vocabulary, long rows) => Locate(ids, vocabulary, rows, 0, rows);

    /// <summary>The same among <paramref name="count"/> of this rank's rows, from <paramref name="first"/> on.</summary>
    public static (Tensor Row, Tensor? IsHere) Locate(Tensor ids, IVocabularyRanks vocabulary, long allRows, long first, long count)
    {
        if (!vocabulary.IsCut && count == allRows)
            return (ids, null);
        using TorchSharp.Scalar start = vocabulary.FirstId + first, zero = 0, end = count;
        Tensor row = ids.sub(start);
        Tensor inside = row.ge(zero).bitwise_and(row.lt(end));
        return (row.mul(inside), inside.to(ScalarType.Float32));
    }
}
