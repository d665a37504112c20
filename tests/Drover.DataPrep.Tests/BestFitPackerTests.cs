using CsCheck;
using Drover.DataPrep.Rows;

namespace Drover.DataPrep.Tests;

public sealed class BestFitPackerTests
{
    private static readonly Gen<(int[] Lengths, int Capacity)> Inputs =
        Gen.Select(Gen.Int[1, 200].Array[0, 80], Gen.Int[2, 130]).Select((lengths, capacity) => (lengths, capacity));

    [Fact]
    public void No_token_is_lost_or_doubled_and_none_changes_its_place_in_the_document() => Inputs.Sample(input =>
    {
        List<Fragment> fragments = [.. Pack(input.Lengths, input.Capacity).SelectMany(r => r)];
        for (int document = 0; document < input.Lengths.Length; document++)
        {
            int next = 0;
            foreach (Fragment fragment in fragments.Where(f => f.Document == document).OrderBy(f => f.Start))
            {
                Assert.Equal(next, fragment.Start);
                next += fragment.Length;
            }

            Assert.Equal(input.Lengths[document], next);
        }
    });

    [Fact]
    public void No_row_is_longer_than_allowed_and_none_is_empty() => Inputs.Sample(input =>
        Assert.All(Pack(input.Lengths, input.Capacity), row => Assert.InRange(row.Sum(f => f.Length), 1, input.Capacity)));

    [Fact]
    public void Documents_that_fit_into_a_row_are_never_cut() => Inputs.Sample(input =>
    {
        foreach (IGrouping<int, Fragment> document in Pack(input.Lengths, input.Capacity).SelectMany(r => r).GroupBy(f => f.Document))
            Assert.Equal((input.Lengths[document.Key] + input.Capacity - 1) / input.Capacity, document.Count());
    });

    [Fact]
    public void Next_fit_never_needs_fewer_rows() => Inputs.Sample(input =>
        Assert.True(Pack(input.Lengths, input.Capacity).Count <= NextFit(input.Lengths, input.Capacity)));

    [Fact]
    public void The_same_lengths_give_the_same_rows() => Inputs.Sample(input =>
        Assert.Equal(Pack(input.Lengths, input.Capacity), Pack(input.Lengths, input.Capacity)));

    [Fact]
    public void A_document_goes_into_the_fullest_row_that_has_room()
    {
        // Rooms left after the first two: 4 and 2; the third fits both and takes the tighter one.
        List<List<Fragment>> rows = Pack([6, 8, 2], 10);
        Assert.Equal([[0], [1, 2]], rows.Select(r => r.Select(f => f.Document).ToArray()).OrderBy(r => r[0]));
    }

    private static List<List<Fragment>> Pack(int[] lengths, int capacity)
    {
        Fragment[] pieces = [.. lengths.SelectMany((length, document) => BestFitPacker.Cut(document, length, capacity))];
        PackedPieces packed = BestFitPacker.Pack([.. pieces.Select(p => p.Length)], capacity);
        return [.. Enumerable.Range(0, packed.Rows).Select(row => packed[row].ToArray().Select(piece => pieces[piece]).ToList())];
    }

    // Cuts as the packer does, then closes a row as soon as the next piece does not fit.
    private static int NextFit(int[] lengths, int capacity)
    {
        int rows = 0;
        int room = 0;
        foreach (int length in lengths)
        {
            rows += length / capacity;
            int rest = length % capacity;
            if (rest == 0)
                continue;
            if (rest > room)
            {
                rows++;
                room = capacity;
            }

            room -= rest;
        }

        return rows;
    }
}
