namespace Drover.Tokenization.Training;

/// <summary>What pieces are learnt.</summary>
public sealed record PieceLearningOptions
{
    /// <summary>How many pieces.</summary>
    public required int Count { get; init; }

    /// <summary>A piece must occur this often in the text; at least 2.</summary>
    public long MinimumFrequency { get; init; } = 5;

    /// <summary>Share of the characters without a piece that may get one, from the most frequent on; the others stay bytes.</summary>
    public double CharacterCoverage { get; init; } = 0.9995;

    /// <summary>Every letter of a piece must be of one of these scripts, and there must be one; empty for all.</summary>
    public IReadOnlySet<Script> Scripts { get; init; } = new HashSet<Script>();

    /// <summary>Longest piece, in UTF-16 units.</summary>
    public int MaxPieceLength { get; init; } = 16;
}
