namespace Drover.Formats.Datasets;

/// <summary>
/// One packed row of a dataset. Labels are not shifted: <c>Labels[i]</c> is <c>InputIds[i]</c> or <see cref="Ignored"/>;
/// the first token of each document is always <see cref="Ignored"/>, because nothing in its document predicts it.
/// </summary>
/// <param name="InputIds">Token ids, at most the dataset's max_length of them; not padded.</param>
/// <param name="Labels">As many labels.</param>
/// <param name="DocumentLengths">Lengths of the documents in the row, in order; their sum is the number of tokens.</param>
public sealed record PackedRow(int[] InputIds, int[] Labels, int[] DocumentLengths)
{
    /// <summary>The label of a token that carries no loss.</summary>
    public const int Ignored = -100;
}
