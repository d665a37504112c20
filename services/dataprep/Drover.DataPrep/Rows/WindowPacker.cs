using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Rows;

/// <summary>
/// Packs an endless stream in bounded memory and loses nothing. Documents longer than a row are cut into full rows and a rest. Rests and
/// short documents gather in a window; when it is full, it is packed by best fit, its fullest rows are given, and the stretches of the
/// emptiest go into the next window, so that a border between windows costs no room.
/// </summary>
/// <param name="capacity">Tokens of a row.</param>
/// <param name="windowTokens">Tokens that gather before they are packed.</param>
/// <param name="emit">Takes a row: its stretches in order.</param>
internal sealed class WindowPacker(int capacity, long windowTokens, Action<IReadOnlyList<DocumentPiece>> emit) : IPacker
{
    // What is less full than this waits for the next window, but for half a window at most.
    private const double FullEnough = 0.999;
    private List<DocumentPiece> _window = [];
    private long _tokens;

    /// <summary>Tokens that a window gathers for rows of a length.</summary>
    public static long WindowFor(int capacity) => Math.Max(4L << 20, 64L * capacity);

    public void Add(TokenizedDocument document)
    {
        foreach (Fragment piece in BestFitPacker.Cut(0, document.Ids.Length, capacity))
        {
            if (piece.Length == capacity)
                emit([new DocumentPiece(document, piece.Start, piece.Length)]);
            else
                Gather(new DocumentPiece(document, piece.Start, piece.Length));
        }

        if (_tokens >= windowTokens)
            Pack(isLast: false);
    }

    public void Finish() => Pack(isLast: true);

    private void Gather(DocumentPiece piece)
    {
        _window.Add(piece);
        _tokens += piece.Length;
    }

    private void Pack(bool isLast)
    {
        List<DocumentPiece> window = _window;
        List<List<Fragment>> rows = BestFitPacker.Pack([.. window.Select((piece, i) => new Fragment(i, piece.Start, piece.Length))], capacity);
        (_window, _tokens) = ([], 0);
        HashSet<int> waiting = isLast ? [] : Waiting(rows);
        for (int row = 0; row < rows.Count; row++)
        {
            if (!waiting.Contains(row))
                emit([.. rows[row].Select(f => window[f.Document])]);
        }

        foreach (int row in waiting.Order())
            rows[row].ForEach(f => Gather(window[f.Document]));
    }

    private HashSet<int> Waiting(List<List<Fragment>> rows)
    {
        var waiting = new HashSet<int>();
        long tokens = 0;
        foreach ((int row, int length) in rows.Select((r, i) => (i, r.Sum(f => f.Length))).OrderBy(r => r.Item2))
        {
            tokens += length;
            if (length >= FullEnough * capacity || tokens > windowTokens / 2)
                break;
            waiting.Add(row);
        }

        return waiting;
    }
}
