using System.Globalization;

namespace Drover.Trainer.Collectives.RankProgram;

/// <summary>Each operation against its naive definition, on values that every rank can compute for every other.</summary>
public static unsafe class CollectiveChecks
{
    // Not a multiple of any rank count tried, and larger than Open MPI's eager limit.
    private const int Count = 100_003;

    public static IReadOnlyList<string> Names { get; } =
        ["all-reduce", "started-sums-waited-in-reverse", "double-sum", "double-max", "float-max", "broadcast", "all-gather", "gather-bytes", "reduce-scatter", "barrier"];

    public static IReadOnlyList<string> Run(string name, ICollectives collectives)
    {
        var problems = new List<string>();
        int n = collectives.WorldSize;
        switch (name)
        {
            case "all-reduce":
                float[] sum = Values(collectives.Rank, Count);
                collectives.AllReduceSum(sum);
                Same(problems, sum, i => Sum(n, i));
                break;
            case "started-sums-waited-in-reverse":
                StartedSums(collectives, problems);
                break;
            case "double-sum":
                double[] doubles = [collectives.Rank + 0.5, 1e300, -collectives.Rank];
                collectives.AllReduceSum(doubles);
                Same(problems, doubles, [(n * (n - 1) / 2.0) + (n * 0.5), n * 1e300, -n * (n - 1) / 2.0]);
                break;
            case "double-max":
                double[] largest = [collectives.Rank, -collectives.Rank];
                collectives.AllReduceMax(largest);
                Same(problems, largest, [n - 1, 0]);
                break;
            case "float-max":
                float[] maxima = [collectives.Rank, -collectives.Rank];
                collectives.AllReduceMax(maxima);
                Same(problems, maxima, i => i == 0 ? n - 1 : 0);
                break;
            case "broadcast":
                float[] copy = Values(collectives.Rank, Count);
                fixed (float* data = copy)
                    collectives.Broadcast((nint)data, Count * sizeof(float), n - 1);
                Same(problems, copy, i => Value(n - 1, i));
                break;
            case "all-gather":
                float[] mine = Values(collectives.Rank, Count);
                float[] all = new float[Count * n];
                fixed (float* source = mine, destination = all)
                    collectives.AllGather((nint)source, (nint)destination, Count * sizeof(float));
                Same(problems, all, i => Value(i / Count, i % Count));
                break;
            case "gather-bytes":
                byte[][] texts = collectives.GatherBytes(Enumerable.Repeat((byte)collectives.Rank, collectives.Rank * 3).ToArray());
                for (int r = 0; r < n; r++)
                    Require(problems, texts[r].Length == r * 3 && texts[r].All(b => b == r), $"bytes of rank {r}");
                break;
            case "reduce-scatter":
                float[] parts = Values(collectives.Rank, Count * n);
                float[] part = new float[Count];
                fixed (float* source = parts, destination = part)
                    collectives.ReduceScatterSum((nint)source, (nint)destination, Count);
                Same(problems, part, i => Sum(n, (collectives.Rank * Count) + i));
                break;
            default:
                collectives.Barrier();
                break;
        }

        return problems;
    }

    private static void StartedSums(ICollectives collectives, List<string> problems)
    {
        float[][] many = [.. Enumerable.Range(0, 5).Select(k => Values(collectives.Rank + k, Count))];
        var pins = many.Select(a => System.Runtime.InteropServices.GCHandle.Alloc(a, System.Runtime.InteropServices.GCHandleType.Pinned)).ToList();
        ICollectiveHandle[] handles = [.. pins.Select(p => collectives.StartAllReduceSum(p.AddrOfPinnedObject(), Count))];
        foreach (ICollectiveHandle handle in handles.Reverse())
            handle.Wait();
        handles[0].Wait();
        for (int k = 0; k < many.Length; k++)
        {
            int shift = k;
            Same(problems, many[k], i => Enumerable.Range(0, collectives.WorldSize).Sum(r => Value(r + shift, i)));
        }

        pins.ForEach(p => p.Free());
    }

    // Small integers: their sums are exact in fp32, whatever the order.
    private static float Value(int rank, int i) => ((i * 7) + (rank * 13)) % 1009;

    private static float Sum(int ranks, int i) => Enumerable.Range(0, ranks).Sum(r => Value(r, i));

    private static float[] Values(int rank, int count) => [.. Enumerable.Range(0, count).Select(i => Value(rank, i))];

    private static void Same(List<string> problems, float[] found, Func<int, float> expected)
    {
        int wrong = Enumerable.Range(0, found.Length).FirstOrDefault(i => found[i] != expected(i), -1);
        Require(problems, wrong < 0, wrong < 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"value {wrong} is {found[wrong]}, expected {expected(wrong)}"));
    }

    private static void Same(List<string> problems, double[] found, double[] expected) =>
        Require(problems, found.AsSpan().SequenceEqual(expected), $"[{string.Join(", ", found)}], expected [{string.Join(", ", expected)}]");

    private static void Require(List<string> problems, bool good, string what)
    {
        if (!good)
            problems.Add(what);
    }
}
