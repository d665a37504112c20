using System.Collections.Concurrent;
using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Rows;

/// <summary>
/// Stretches of documents one behind the other, in memory that is used again and again: a corpus passes through without a garbage collector
/// having to move its tokens, and one task after the other without new memory.
/// </summary>
internal sealed class TokenBlock
{
    // Two windows' worth: what a worker uses, and some.
    private const int MostKept = 48;
    private static readonly ConcurrentBag<TokenBlock> Kept = [];

    private const int UsualTokens = 1 << 18;
    private int[] _ids = new int[UsualTokens];
    private LabelRange[] _labels = new LabelRange[1 << 10];
    private int _idCount;
    private int _labelCount;

    /// <summary>What lies here.</summary>
    public List<RowPiece> Pieces { get; } = [];

    private TokenBlock()
    {
    }

    /// <summary>An empty block.</summary>
    public static TokenBlock Rent() => Kept.TryTake(out TokenBlock? block) ? block : new TokenBlock();

    /// <summary>Gives a block back; the stretches that it gave are no longer valid.</summary>
    public static void Return(TokenBlock block)
    {
        // One that grew for rows of uncommon length is not kept for others.
        if (block._ids.Length > UsualTokens || Kept.Count >= MostKept)
            return;
        (block._idCount, block._labelCount) = (0, 0);
        block.Pieces.Clear();
        Kept.Add(block);
    }

    /// <summary>Whether a stretch finds room. An empty block makes room for any.</summary>
    public bool HasRoomFor(int length) => _idCount == 0 || _idCount + length <= _ids.Length;

    /// <summary>Copies a stretch of a document.</summary>
    public void Add(TokenizedDocument document, int start, int length)
    {
        int firstLabel = _labelCount;
        for (int i = 0; i < document.Labels.Count; i++)
        {
            LabelRange range = RowPiece.Within(document.Labels[i], start, length);
            if (range.Start < range.End)
                AddLabel(range);
        }

        Add(document.Ids.Span.Slice(start, length), firstLabel, document.Category);
    }

    /// <summary>Copies a stretch from another block.</summary>
    public void Add(RowPiece piece)
    {
        int firstLabel = _labelCount;
        foreach (LabelRange range in piece.Labels.Span)
            AddLabel(range);
        Add(piece.Ids.Span, firstLabel, piece.Category);
    }

    private void Add(ReadOnlySpan<int> ids, int firstLabel, string category)
    {
        if (ids.Length > _ids.Length)
            _ids = new int[ids.Length];
        ids.CopyTo(_ids.AsSpan(_idCount));
        Pieces.Add(new RowPiece(_ids.AsMemory(_idCount, ids.Length), _labels.AsMemory(firstLabel, _labelCount - firstLabel), category));
        _idCount += ids.Length;
    }

    // Stretches that were added before keep the array that they know.
    private void AddLabel(LabelRange range)
    {
        if (_labelCount == _labels.Length)
            Array.Resize(ref _labels, 2 * _labels.Length);
        _labels[_labelCount++] = range;
    }
}
