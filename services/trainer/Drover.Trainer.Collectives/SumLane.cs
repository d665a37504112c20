using System.Runtime.InteropServices;

namespace Drover.Trainer.Collectives;

/// <summary>
/// The fp32 sums of one group over MPI messages. Rank r owns part r of the values: all send it their values of that part, it adds them
/// in the order of the ranks, and in an all-reduce sends the sum back to all. So every rank moves no more than in a ring,
/// 2 (n - 1) / n of the values, all ranks have the same bits, and they are the same in every run and on threads.
/// <para>
/// Why not MPI_Iallreduce and MPI_Ireduce_scatter_block: those of Open MPI 4 bring all values to one rank, which adds them alone.
/// </para>
/// <para>
/// Sums are cut in segments; a few are under way at once, taken from the sums in the order in which those were started, so that the
/// memory for what comes in is fixed. Each segment has tags of its own, since they may finish in another order on each rank.
/// </para>
/// </summary>
internal sealed unsafe class SumLane(MpiTypes types, nint communicator, int rank, int ranks) : IDisposable
{
    /// <summary>Values of one rank's part in a segment: 512 KB, so that copying and adding overlap and stay in the cache.</summary>
    public const long SegmentValues = 1 << 17;
    private const int MostUnderWay = 4;
    private readonly Queue<MpiSum> _sums = new();
    private readonly List<Segment> _underWay = [];
    private readonly Stack<Segment> _idle = new();

    public int Rank => rank;

    public int Ranks => ranks;

    public void Add(MpiSum sum)
    {
        if (sum.Segments > 0)
            _sums.Enqueue(sum);
    }

    /// <summary>Moves all sums of the group.</summary>
    public void Move(ref bool moved)
    {
        for (int i = _underWay.Count - 1; i >= 0; i--)
        {
            if (!_underWay[i].Move(ref moved))
                continue;
            _idle.Push(_underWay[i]);
            _underWay.RemoveAt(i);
        }

        while (_underWay.Count < MostUnderWay && _sums.TryPeek(out MpiSum? sum))
        {
            Segment segment = _idle.Count > 0 ? _idle.Pop() : new Segment(this, new MpiRequests(types, communicator));
            segment.Begin(sum, sum.Begun++);
            _underWay.Add(segment);
            moved = true;
            if (sum.Begun == sum.Segments)
                _sums.Dequeue();
        }
    }

    public void Dispose()
    {
        foreach (Segment segment in _underWay.Concat(_idle))
            segment.Dispose();
    }

    private sealed class Segment(SumLane lane, MpiRequests requests) : IDisposable
    {
        private readonly nint[] _sources = new nint[lane.Ranks];
        private float* _received;
        private long _room;
        private MpiSum _sum = null!;
        private long _number;
        private bool _added;

        public void Begin(MpiSum sum, long number)
        {
            (_sum, _number, _added) = (sum, number, false);
            long mine = Length(lane.Rank);
            MakeRoom(mine * (lane.Ranks - 1));
            float* free = _received;
            for (int r = 0; r < lane.Ranks; r++)
            {
                if (r == lane.Rank)
                {
                    _sources[r] = At(sum.Source, r);
                    continue;
                }

                _sources[r] = (nint)free;
                free += mine;
                requests.Receive(_sources[r], mine * sizeof(float), r, Tag);
                requests.Send(At(sum.Source, r), Length(r) * sizeof(float), r, Tag);
            }
        }

        /// <summary>Looks once; whether the segment is done.</summary>
        public bool Move(ref bool moved)
        {
            if (!requests.Test())
                return false;
            moved = true;
            if (!_added)
            {
                _added = true;
                nint target = _sum.AllReduce ? At(_sum.Source, lane.Rank) : _sum.Destination + (nint)(_number * SegmentValues * sizeof(float));
                Sums.Add((float*)target, _sources, Length(lane.Rank));
                if (_sum.AllReduce)
                {
                    SendSum(target);
                    return false;
                }
            }

            _sum.Finished++;
            return true;
        }

        public void Dispose()
        {
            requests.Dispose();
            NativeMemory.Free(_received);
        }

        private int Tag => _sum.FirstTag + (int)(2 * _number);

        private void MakeRoom(long values)
        {
            if (values <= _room)
                return;
            NativeMemory.Free(_received);
            _received = (float*)NativeMemory.Alloc((nuint)values, sizeof(float));
            _room = values;
        }

        private void SendSum(nint target)
        {
            for (int r = 0; r < lane.Ranks; r++)
            {
                if (r == lane.Rank)
                    continue;
                requests.Receive(At(_sum.Source, r), Length(r) * sizeof(float), r, Tag + 1);
                requests.Send(target, Length(lane.Rank) * sizeof(float), r, Tag + 1);
            }
        }

        private long Length(int r) => Math.Clamp(_sum.PartBegin(r + 1) - _sum.PartBegin(r) - (_number * SegmentValues), 0, SegmentValues);

        private nint At(nint data, int r) => data + (nint)((_sum.PartBegin(r) + (_number * SegmentValues)) * sizeof(float));
    }
}

/// <summary>An all-reduce or reduce-scatter of fp32 values in a <see cref="SumLane"/>.</summary>
internal sealed class MpiSum : MpiOperation
{
    private readonly SumLane _lane;
    private readonly Operation _operation;

    public MpiSum(SumLane lane, Operation operation)
    {
        (_lane, _operation) = (lane, operation);
        long longestPart = AllReduce ? (operation.Count + lane.Ranks - 1) / lane.Ranks : operation.Count;
        Segments = (longestPart + SumLane.SegmentValues - 1) / SumLane.SegmentValues;
    }

    public bool AllReduce => _operation.Kind == OperationKind.AllReduce;

    public nint Source => _operation.Source;

    public nint Destination => _operation.Destination;

    /// <summary>How many there are: enough for the longest part. The same on every rank.</summary>
    public long Segments { get; }

    /// <summary>Segments have two tags each, from this one on.</summary>
    public int FirstTag { get; set; }

    public long Begun { get; set; }

    public long Finished { get; set; }

    /// <summary>First value of rank r's part.</summary>
    public long PartBegin(int r) => AllReduce ? (long)((Int128)_operation.Count * r / _lane.Ranks) : _operation.Count * r;

    public override void Begin() => _lane.Add(this);

    public override bool Move(ref bool moved)
    {
        _lane.Move(ref moved);
        return Finished == Segments;
    }
}
