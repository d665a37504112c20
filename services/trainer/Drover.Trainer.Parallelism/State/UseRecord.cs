namespace Drover.Trainer.Parallelism;

/// <summary>
/// The order in which a step uses the pieces of state, and how much device memory everything else takes meanwhile. The warm-up step
/// writes it; later steps go through it again and again (PatrickStar: Fang et al., 2021; ColossalAI's MemStats). A step that
/// does not fit goes on at the next use of the same piece, so the record is advice that is never wrong, only less good.
/// </summary>
internal sealed class UseRecord
{
    private readonly List<int> _uses = [];
    private readonly List<long> _others = [];
    private readonly Dictionary<int, List<int>> _places = [];
    private int _position;

    /// <summary>The warm-up is over.</summary>
    public bool IsComplete { get; private set; }

    /// <summary>Uses of a step.</summary>
    public int Length => _uses.Count;

    /// <summary>Most bytes of everything else at any time of a step.</summary>
    public long PeakOfOthers { get; private set; }

    /// <summary>A step begins; the first call after uses were recorded ends the warm-up.</summary>
    public void BeginStep()
    {
        IsComplete = _uses.Count > 0;
        _position = 0;
    }

    /// <summary>The warm-up step was left early: the next one is the warm-up.</summary>
    public void Forget()
    {
        if (IsComplete)
            return;
        _uses.Clear();
        _others.Clear();
        _places.Clear();
    }

    /// <summary>A piece is used.</summary>
    /// <param name="piece">Its number.</param>
    /// <param name="others">Bytes of everything else at this moment.</param>
    public void Use(int piece, long others)
    {
        if (!IsComplete)
        {
            if (!_places.TryGetValue(piece, out List<int>? places))
                _places[piece] = places = [];
            places.Add(_uses.Count);
            _uses.Add(piece);
            _others.Add(others);
        }
        else if (_places.ContainsKey(piece))
        {
            _position = (_position + StepsUntilUse(piece) + 1) % Length;
        }

        Saw(others);
    }

    /// <summary>Everything else takes so many bytes now. Later steps may take more than the warm-up did: the record grows with them.</summary>
    public void Saw(long others)
    {
        PeakOfOthers = Math.Max(PeakOfOthers, others);
        if (Length == 0)
            return;
        int now = IsComplete ? (_position + Length - 1) % Length : Length - 1;
        _others[now] = Math.Max(_others[now], others);
    }

    /// <summary>How many uses of other pieces come before the next of this one; the largest number for one that no step used.</summary>
    public int StepsUntilUse(int piece)
    {
        if (!_places.TryGetValue(piece, out List<int>? places))
            return int.MaxValue;
        int next = places.BinarySearch(_position);
        next = next < 0 ? ~next : next;
        return next < places.Count ? places[next] - _position : places[0] + Length - _position;
    }

    /// <summary>Most bytes of everything else from now to the next use of a piece.</summary>
    public long PeakUntilUse(int piece)
    {
        int steps = StepsUntilUse(piece);
        if (steps >= Length - 1)
            return PeakOfOthers;
        long peak = 0;
        for (int i = 0; i <= steps; i++)
            peak = Math.Max(peak, _others[(_position + Length - 1 + i) % Length]);
        return peak;
    }

    /// <summary>
    /// Which of the candidates has to go: the one whose next use is farthest (Belady, 1966), which makes the fewest pieces come back.
    /// Of two that are equally far the one with the lower number, so that equal records give equal choices on every rank.
    /// </summary>
    public GeminiPiece? Farthest(IEnumerable<GeminiPiece> candidates)
    {
        GeminiPiece? farthest = null;
        int steps = -1;
        foreach (GeminiPiece piece in candidates)
        {
            int its = StepsUntilUse(piece.Number);
            if (its > steps)
                (farthest, steps) = (piece, its);
        }

        return farthest;
    }
}
