using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Rows;

/// <summary>
/// Stretches of documents one behind the other, in memory that is used again and again: a corpus passes through without a garbage collector
/// having to move its tokens.
/// </summary>
internal sealed class TokenBlock
{
    private const int UsualTokens = 1 << 18;
    private int[] _ids = new int[UsualTokens];
    private LabelRange[] _labels = new LabelRange[1 << 10];
    private int _idCount;
    private int _labelCount;

    /// <summary>What lies here.</summary>
    public List<RowPiece> Pieces { get; } = [];

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

    /// <summary>Forgets everything; the stretches that were given are no longer valid.</summary>
    public void Clear()
    {
        (_idCount, _labelCount) = (0, 0);
        Pieces.Clear();
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
