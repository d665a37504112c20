namespace Drover.Tokenization.Training;

/// <summary>The order in which merges are taken: what is worth most first; among equals the shorter text, then the ordinal order.</summary>
/// <param name="Worth">How often it is found, or what it saves.</param>
/// <param name="Text">What it makes.</param>
/// <param name="Left">Its first symbol: the last that decides.</param>
internal readonly record struct MergeRank(long Worth, string Text, int Left) : IComparable<MergeRank>
{
    public int CompareTo(MergeRank other)
    {
        int order = other.Worth.CompareTo(Worth);
        order = order != 0 ? order : Text.Length.CompareTo(other.Text.Length);
        order = order != 0 ? order : string.CompareOrdinal(Text, other.Text);
        return order != 0 ? order : Left.CompareTo(other.Left);
    }
}
