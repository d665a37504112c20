using CsCheck;
using Drover.Errors;
using Drover.Trainer.Parallelism;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

public class GeminiArenaTests
{
    [Fact]
    public void No_other_choice_of_victims_brings_fewer_pieces_back() =>
        Gen.Select(Gen.Int[0, 4].Array[1, 10], Gen.Int[1, 4], Gen.Int[1, 3]).Sample((order, room, steps) =>
        {
            int[] all = [.. Enumerable.Repeat(order, steps).SelectMany(o => o)];
            return LoadsByRecord(order, room, steps) == FewestLoads(all, room);
        }, iter: 500);

    [Fact]
    public void Nothing_takes_the_device_beyond_its_budget_and_values_survive_every_move() =>
        Gen.Select(Gen.Int[1, 6].Array[1, 8], Gen.Int[6, 30], Gen.Int[0, 1000].Array[1, 40]).Sample((sizes, budgetValues, choices) =>
        {
            using var device = new Device(sizes, 4 * budgetValues);
            // The same order twice, then backwards, which does not fit the record.
            device.Step(choices);
            device.Step(choices);
            device.Step([.. choices.Reverse()]);
            Assert.True(device.Ledger.DevicePeakBytes <= 4 * budgetValues);
            device.AssertValues();
        }, iter: 300);

    [Fact]
    public void What_does_not_fit_is_refused_with_the_need_the_budget_and_the_way_out()
    {
        var ledger = new MemoryLedger();
        var arena = new DeviceArena(new GeminiSpec { Policy = GeminiPolicy.Auto, DeviceBudgetBytes = 1000 }, ledger);
        ledger.Count(MemoryClass.Activations, MemoryPlace.Device, 800);
        DroverException e = Assert.Throws<DroverException>(() => ledger.New(MemoryClass.Buffers, MemoryPlace.Device, 60, ScalarType.Float32));
        Assert.Equal((FailureCode.ResourceExhausted, "DEVICE_BUDGET"), (e.Code, e.Reason));
        Assert.All(["240 bytes", "buffers", "800 of the 1000", "Raise gemini.device_budget_bytes to 1040"], part => Assert.Contains(part, e.Message, StringComparison.Ordinal));
        Assert.Equal((800, 0), (ledger.DeviceBytes, arena.Report.Evictions));
    }

    [Fact]
    public void What_is_expected_has_its_room_before_it_comes()
    {
        using var device = new Device([5, 5], 100);
        device.Step([1, 2]);
        device.Step([1, 2]);
        Assert.Equal((40, 0), (device.Ledger.DeviceBytes, device.Evictions));
        device.Ledger.Expect(80);
        Assert.Equal((20, 1), (device.Ledger.DeviceBytes, device.Evictions));
        // A guess that cannot be met is no failure.
        device.Ledger.Expect(1000);
        Assert.Equal((0, 2), (device.Ledger.DeviceBytes, device.Evictions));
        device.AssertValues();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.3)]
    [InlineData(0.5)]
    [InlineData(1)]
    public void The_policy_static_keeps_the_given_part_of_the_values_in_host_memory(double fraction)
    {
        var arena = new DeviceArena(new GeminiSpec { OffloadWeightsFraction = fraction, OffloadOptimizerFraction = 1 - fraction }, new MemoryLedger());
        int[] sizes = [.. Enumerable.Range(0, 200).Select(i => 1 + (i * 7 % 5))];
        double HostedPart(MemoryClass kind) => sizes.Where(s => arena.HomeOf(kind, s) == MemoryPlace.Host).Sum() / (double)sizes.Sum();
        Assert.Equal(fraction, HostedPart(MemoryClass.Weights), 0.01);
        Assert.Equal(1 - fraction, HostedPart(MemoryClass.Optimizer), 0.01);
    }

    // Pieces of equal size, each brought when it is used: how often, where the record names the victims.
    private static int LoadsByRecord(int[] order, int room, int steps)
    {
        var arena = new DeviceArena(new GeminiSpec(), new MemoryLedger());
        GeminiPiece[] pieces = [.. Enumerable.Range(0, 5).Select(_ => arena.Enter(MemoryClass.Weights, 1, ScalarType.Float32, MemoryPlace.Host))];
        var record = new UseRecord();
        record.BeginStep();
        foreach (int piece in order)
            record.Use(piece, 0);
        int loads = 0;
        var here = new List<GeminiPiece>();
        for (int step = 0; step < steps; step++)
        {
            record.BeginStep();
            foreach (int piece in order)
            {
                record.Use(piece, 0);
                if (here.Contains(pieces[piece]))
                    continue;
                loads++;
                if (here.Count == room)
                    here.Remove(record.Farthest(here)!);
                here.Add(pieces[piece]);
            }
        }

        return loads;
    }

    // Every set of pieces that can be there after each use, with the fewest loads that lead to it.
    private static int FewestLoads(int[] uses, int room)
    {
        var sets = new Dictionary<int, int> { [0] = 0 };
        foreach (int piece in uses)
        {
            var next = new Dictionary<int, int>();
            void Reach(int set, int loads) => next[set] = Math.Min(loads, next.GetValueOrDefault(set, int.MaxValue));
            foreach ((int set, int loads) in sets)
            {
                int bit = 1 << piece;
                if ((set & bit) != 0)
                    Reach(set, loads);
                else if (int.PopCount(set) < room)
                    Reach(set | bit, loads + 1);
                else
                    foreach (int victim in Enumerable.Range(0, 5).Where(v => (set & (1 << v)) != 0))
                        Reach((set & ~(1 << victim)) | bit, loads + 1);
            }

            sets = next;
        }

        return sets.Values.Min();
    }

    /// <summary>An arena with pieces whose every value is their number, and random use of it.</summary>
    private sealed class Device : IDisposable
    {
        private static readonly MemoryClass[] Kinds = [MemoryClass.Weights, MemoryClass.Gradients, MemoryClass.Optimizer];
        private readonly DeviceArena _arena;
        private readonly GeminiPiece[] _pieces;
        private readonly long _budget;

        public Device(int[] sizes, long budget)
        {
            _budget = budget;
            _arena = new DeviceArena(new GeminiSpec { Policy = GeminiPolicy.Auto, DeviceBudgetBytes = budget }, Ledger);
            _pieces = [.. sizes.Select((s, i) => _arena.Enter(Kinds[i / 2 % 3], s, ScalarType.Float32, MemoryPlace.Host))];
            foreach (GeminiPiece piece in _pieces)
            {
                _arena.Use(piece);
                piece.Values.fill_(piece.Number);
            }
        }

        public MemoryLedger Ledger { get; } = new();

        public long Evictions => _arena.Report.Evictions;

        public void Step(int[] choices)
        {
            var held = new Queue<(long Bytes, LedgerTensor? Tensor)>();
            _arena.BeginStep();
            foreach (int choice in choices)
            {
                if (choice % 3 > 0)
                    _arena.Use(_pieces[choice % _pieces.Length]);
                else if (choice % 2 == 0 && held.Count > 0)
                    Release(held.Dequeue());
                else
                    Hold(held, 4 * (1 + (choice % 9)), isTensor: choice % 5 > 2);
                Assert.True(Ledger.DeviceBytes <= _budget);
                Assert.Equal(_pieces.Where(p => p.IsOnDevice).Sum(p => p.Bytes) + held.Sum(h => h.Bytes), Ledger.DeviceBytes);
            }

            while (held.Count > 0)
                Release(held.Dequeue());
            _arena.EndStep();
        }

        public void AssertValues()
        {
            foreach (GeminiPiece piece in _pieces)
                Assert.All(piece.Values.data<float>().ToArray(), v => Assert.Equal(piece.Number, v));
        }

        public void Dispose()
        {
            foreach (GeminiPiece piece in _pieces)
                piece.Dispose();
        }

        // Pieces never stand in the way: it is refused only where it does not fit beside what else is held.
        private void Hold(Queue<(long Bytes, LedgerTensor? Tensor)> held, long bytes, bool isTensor)
        {
            bool fits = held.Sum(h => h.Bytes) + bytes <= _budget;
            try
            {
                LedgerTensor? tensor = isTensor ? Ledger.New(MemoryClass.Buffers, MemoryPlace.Device, bytes / 4, ScalarType.Float32) : null;
                if (tensor is null)
                    Ledger.Count(MemoryClass.Activations, MemoryPlace.Device, bytes);
                held.Enqueue((bytes, tensor));
                Assert.True(fits);
            }
            catch (DroverException)
            {
                Assert.False(fits);
            }
        }

        private void Release((long Bytes, LedgerTensor? Tensor) held)
        {
            if (held.Tensor is null)
                Ledger.Count(MemoryClass.Activations, MemoryPlace.Device, -held.Bytes);
            held.Tensor?.Dispose();
        }
    }
}
