using System.Runtime.InteropServices;
using System.Threading.Channels;
using Drover.DataPrep.Documents;

namespace Drover.DataPrep.Rows;

/// <summary>
/// Packs an endless stream in bounded memory and loses nothing. Documents longer than a row are cut into full rows and a rest. Rests and
/// short documents gather in a window; when it is full, it is packed by best fit, its fullest rows are given, and the stretches of the
/// emptiest go into the next window, so that a border between windows costs no room. A thread of its own packs and gives the rows, so that
/// the one that tokenizes goes on.
/// </summary>
internal sealed class WindowPacker : IPacker
{
    // What is less full than this waits for the next window, but for half a window at most.
    private const double FullEnough = 0.999;
    private const int BlocksAhead = 4;
    private readonly int _capacity;
    private readonly long _windowTokens;
    private readonly RowTaker _emit;
    private readonly Channel<TokenBlock> _full = Channel.CreateBounded<TokenBlock>(new BoundedChannelOptions(BlocksAhead) { SingleReader = true, SingleWriter = true });
    private readonly Task _packing;
    private TokenBlock _filling = TokenBlock.Rent();
    private bool _isDisposed;

    // Of the thread that packs.
    private readonly List<RowPiece> _row = [];
    private List<RowPiece> _window = [];
    private List<TokenBlock> _held = [];
    private long _tokens;

    /// <summary>Begins to wait for documents.</summary>
    /// <param name="capacity">Tokens of a row.</param>
    /// <param name="windowTokens">Tokens that gather before they are packed.</param>
    /// <param name="emit">Takes rows, on the packer's own thread.</param>
    public WindowPacker(int capacity, long windowTokens, RowTaker emit)
    {
        (_capacity, _windowTokens, _emit) = (capacity, windowTokens, emit);
        _packing = Task.Run(PackAllAsync);
    }

    /// <summary>Tokens that a window gathers for rows of a length.</summary>
    public static long WindowFor(int capacity) => Math.Max(4L << 20, 64L * capacity);

    public void Add(TokenizedDocument document)
    {
        foreach (Fragment piece in BestFitPacker.Cut(0, document.Ids.Length, _capacity))
        {
            if (!_filling.HasRoomFor(piece.Length))
                HandOver();
            _filling.Add(document, piece.Start, piece.Length);
        }
    }

    public void Finish()
    {
        HandOver();
        _full.Writer.Complete();
        _packing.GetAwaiter().GetResult();
    }

    public void Dispose()
    {
        // Without Finish the work is given up: what waits is of no use, and its failure was told or is not asked for.
        _full.Writer.TryComplete(new OperationCanceledException());
        ((IAsyncResult)_packing).AsyncWaitHandle.WaitOne();
        if (!_isDisposed)
            TokenBlock.Return(_filling);
        _isDisposed = true;
    }

    private void HandOver()
    {
        if (_packing.IsCompleted)
            _packing.GetAwaiter().GetResult();
        try
        {
            if (!_full.Writer.TryWrite(_filling))
                _full.Writer.WriteAsync(_filling).AsTask().GetAwaiter().GetResult();
        }
        catch (ChannelClosedException)
        {
            _packing.GetAwaiter().GetResult();
            throw;
        }

        _filling = TokenBlock.Rent();
    }

    private async Task PackAllAsync()
    {
        try
        {
            await foreach (TokenBlock block in _full.Reader.ReadAllAsync().ConfigureAwait(false))
                Take(block);
            Pack(isLast: true);
        }
        catch (Exception e)
        {
            // Whoever hands over must not wait for one who does not take any more.
            _full.Writer.TryComplete(e);
            throw;
        }
    }

    private void Take(TokenBlock block)
    {
        foreach (RowPiece piece in block.Pieces)
        {
            if (piece.Length == _capacity)
            {
                _emit([piece]);
                continue;
            }

            _window.Add(piece);
            _tokens += piece.Length;
            if (_tokens >= _windowTokens)
                Pack(isLast: false);
        }

        _held.Add(block);
    }

    private void Pack(bool isLast)
    {
        List<RowPiece> window = _window;
        int[] lengths = [.. window.Select(p => p.Length)];
        PackedPieces rows = BestFitPacker.Pack(lengths, _capacity);
        HashSet<int> waiting = isLast ? [] : Waiting(rows, lengths);
        for (int row = 0; row < rows.Rows; row++)
        {
            if (waiting.Contains(row))
                continue;
            _row.Clear();
            foreach (int piece in rows[row])
                _row.Add(window[piece]);
            _emit(CollectionsMarshal.AsSpan(_row));
        }

        KeepWaiting(waiting.Order().SelectMany(row => rows[row].ToArray()).Select(piece => window[piece]));
    }

    private void KeepWaiting(IEnumerable<RowPiece> pieces)
    {
        List<TokenBlock> before = _held;
        (_window, _held, _tokens) = ([], [], 0);
        TokenBlock? block = null;
        foreach (RowPiece piece in pieces)
        {
            if (block?.HasRoomFor(piece.Length) != true)
                _held.Add(block = TokenBlock.Rent());
            block.Add(piece);
        }

        foreach (RowPiece piece in _held.SelectMany(b => b.Pieces))
        {
            _window.Add(piece);
            _tokens += piece.Length;
        }

        before.ForEach(TokenBlock.Return);
    }

    private HashSet<int> Waiting(PackedPieces rows, int[] lengths)
    {
        var open = new List<(int Row, int Tokens)>();
        for (int row = 0; row < rows.Rows; row++)
        {
            int sum = 0;
            foreach (int piece in rows[row])
                sum += lengths[piece];
            if (sum < FullEnough * _capacity)
                open.Add((row, sum));
        }

        var waiting = new HashSet<int>();
        long tokens = 0;
        foreach ((int row, int sum) in open.OrderBy(r => r.Tokens))
        {
            tokens += sum;
            if (tokens > _windowTokens / 2)
                break;
            waiting.Add(row);
        }

        return waiting;
    }
}
