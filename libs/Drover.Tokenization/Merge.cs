namespace Drover.Tokenization;

/// <summary>A pair that merges.</summary>
/// <param name="Left">Symbol: a piece id, or the complement of a code point that is no piece.</param>
/// <param name="Right">Symbol.</param>
/// <param name="Merged">Piece id.</param>
/// <param name="Priority">Smaller merges earlier; pairs of equal priority merge from left to right.</param>
public readonly record struct Merge(int Left, int Right, int Merged, int Priority);
