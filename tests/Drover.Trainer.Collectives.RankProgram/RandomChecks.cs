using System.Runtime.InteropServices;

namespace Drover.Trainer.Collectives.RankProgram;

/// <summary>
/// Random operations of random sizes on random groups, several in flight at once and waited for in random order; each against its
/// naive definition. All ranks draw from the same seed, so each knows what the others do.
/// </summary>
public static unsafe class RandomChecks
{
    private const int Rounds = 12;
    private const int Axes = 3;
    private const int InFlight = 6;
    private static readonly int[] Sizes = [0, 1, 3, 17, 1000, 4097, 131_073, 500_001];

    public static IReadOnlyList<string> Run(ICollectives world, int seed)
    {
        var problems = new List<string>();
        var random = new Random(seed);
        ICollectives[] groups = new ICollectives[Axes + 1];
        int[][] members = new int[Axes + 1][];
        (groups[0], members[0]) = (world, [.. Enumerable.Range(0, world.WorldSize)]);
        for (int a = 1; a <= Axes; a++)
        {
            int[] colors = [.. members[0].Select(_ => random.Next(3))];
            groups[a] = world.Split($"axis{a}", colors[world.Rank]);
            members[a] = [.. members[0].Where(r => colors[r] == colors[world.Rank])];
            if (groups[a].WorldSize != members[a].Length || members[a][groups[a].Rank] != world.Rank || groups[a].Axis != $"axis{a}" || groups[a].Traffic != world.Traffic)
                problems.Add($"axis{a}: rank {groups[a].Rank} of {groups[a].WorldSize}, expected {members[a].Length}");
        }

        for (int round = 0; round < Rounds; round++)
        {
            var trials = new List<Trial>();
            for (int k = 0; k < InFlight; k++)
            {
                int axis = random.Next(Axes + 1);
                trials.Add(new Trial(groups[axis], members[axis], random.Next(7), Sizes[random.Next(Sizes.Length)], random.Next(1000)));
            }

            // Each rank waits in an order of its own.
            Random.Shared.Shuffle(CollectionsMarshal.AsSpan(trials));
            foreach (Trial trial in trials)
                trial.Finish(problems);
        }

        for (int a = 1; a <= Axes; a++)
            groups[a].Dispose();
        return problems;
    }

    /// <summary>One operation under way.</summary>
    private sealed class Trial
    {
        private readonly int[] _members;
        private readonly int _me;
        private readonly int _kind;
        private readonly int _count;
        private readonly int _salt;
        private readonly float[] _source;
        private readonly float[] _destination;
        private readonly GCHandle _sourcePin;
        private readonly GCHandle _destinationPin;
        private readonly ICollectiveHandle[] _handles;

        public Trial(ICollectives group, int[] members, int kind, int count, int salt)
        {
            (_members, _me, _kind, _count, _salt) = (members, group.Rank, kind, count, salt);
            int n = members.Length;
            int size = kind switch { 0 or 6 => count, 5 => Enumerable.Range(0, n).Sum(r => Part(_me, r)), _ => count * n };
            _source = [.. Enumerable.Range(0, size).Select(i => Value(members[_me], i))];
            _destination = kind == 5 ? new float[Enumerable.Range(0, n).Sum(r => Part(r, _me))] : kind is 1 or 6 ? new float[count] : new float[count * n];
            _sourcePin = GCHandle.Alloc(_source, GCHandleType.Pinned);
            _destinationPin = GCHandle.Alloc(_destination, GCHandleType.Pinned);
            (nint source, nint destination) = (_sourcePin.AddrOfPinnedObject(), _destinationPin.AddrOfPinnedObject());
            long bytes = (long)count * sizeof(float);
            nint own = (nint)(_me * bytes);
            _handles = kind switch
            {
                0 => [group.StartAllReduceSum(source, count)],
                1 => [group.StartReduceScatterSum(source, destination, count)],
                2 => [group.StartReduceScatterSum(source, source + own, count)],
                3 => [group.StartAllGather(source, destination, bytes)],
                4 => [group.StartAllGather(source + own, source, bytes)],
                5 => [group.StartAllToAll(source, destination, [.. Enumerable.Range(0, n).Select(r => 4L * Part(_me, r))], [.. Enumerable.Range(0, n).Select(r => 4L * Part(r, _me))])],
                // Around a ring: to the next, from the one before; two messages of one tag keep their order.
                _ => [group.StartSend(source, bytes / 2, (_me + 1) % n, salt), group.StartSend(source + (nint)(bytes / 2), bytes - (bytes / 2), (_me + 1) % n, salt),
                    group.StartReceive(destination, bytes / 2, (_me + n - 1) % n, salt), group.StartReceive(destination + (nint)(bytes / 2), bytes - (bytes / 2), (_me + n - 1) % n, salt)],
            };
        }

        public void Finish(List<string> problems)
        {
            foreach (ICollectiveHandle handle in _handles.Reverse())
                handle.Wait();
            int n = _members.Length;
            string name = $"kind {_kind}, {_count} values, rank {_me} of [{string.Join(",", _members)}]";
            switch (_kind)
            {
                case 0:
                    Same(problems, name, _source, Sum);
                    break;
                case 1:
                    Same(problems, name, _destination, i => Sum((_me * _count) + i));
                    Same(problems, name + ", source", _source, i => Value(_members[_me], i));
                    break;
                case 2:
                    Same(problems, name, _source.AsSpan(_me * _count, _count), i => Sum((_me * _count) + i));
                    break;
                case 3:
                    Same(problems, name, _destination, i => Value(_members[i / _count], i % _count));
                    break;
                case 4:
                    Same(problems, name, _source, i => Value(_members[i / _count], i));
                    break;
                case 5:
                    int at = 0;
                    for (int r = 0; r < n; r++)
                    {
                        int begin = Enumerable.Range(0, _me).Sum(to => Part(r, to));
                        int from = r;
                        Same(problems, name, _destination.AsSpan(at, Part(r, _me)), i => Value(_members[from], begin + i));
                        at += Part(r, _me);
                    }

                    break;
                default:
                    Same(problems, name, _destination, i => Value(_members[(_me + n - 1) % n], i));
                    break;
            }

            _sourcePin.Free();
            _destinationPin.Free();
        }

        /// <summary>Values in an all-to-all; none between some.</summary>
        private int Part(int from, int to) => ((from * 3) + (to * 5) + _salt) % 4 * (_count / 4);

        // Not integers: the bits of a sum depend on its order, which is that of the ranks.
        private float Value(int worldRank, int i) => ((i * 7) + (worldRank * 13) + _salt) % 1009 * 0.1f;

        private float Sum(int i)
        {
            float sum = Value(_members[0], i);
            foreach (int member in _members.AsSpan(1))
                sum += Value(member, i);
            return sum;
        }

        private static void Same(List<string> problems, string name, ReadOnlySpan<float> found, Func<int, float> expected)
        {
            for (int i = 0; i < found.Length; i++)
            {
                if (found[i] == expected(i))
                    continue;
                problems.Add(FormattableString.Invariant($"{name}: value {i} is {found[i]}, expected {expected(i)}"));
                return;
            }
        }
    }
}
