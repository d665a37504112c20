using CsCheck;
using Drover.DataPrep.Documents;
using Drover.DataPrep.Rows;

namespace Drover.DataPrep.Tests;

public sealed class WindowPackerTests
{
    private static readonly Gen<(int[] Lengths, int Capacity, int Window)> Inputs =
        Gen.Select(Gen.Int[1, 200].Array[0, 200], Gen.Int[2, 130], Gen.Int[1, 3000]).Select((lengths, capacity, window) => (lengths, capacity, window));

    [Fact]
    public void Whatever_the_window_no_token_is_lost_or_doubled_and_no_row_too_long() => Inputs.Sample(input =>
    {
        List<int[]> rows = Pack(input.Lengths, input.Capacity, input.Window);
        Assert.All(rows, row => Assert.InRange(row.Length, 1, input.Capacity));
        // A token is its document and its place there.
        Assert.Equal(Enumerable.Range(0, input.Lengths.Length).SelectMany(d => Enumerable.Range(0, input.Lengths[d]).Select(i => Token(d, i))), rows.SelectMany(r => r).Order());
    });

    [Fact]
    public void A_border_between_windows_costs_hardly_any_room()
    {
        var random = new Random(5);
        int[] lengths = [.. Enumerable.Range(0, 20_000).Select(_ => 20 + (int)(600 * Math.Pow(random.NextDouble(), 3)))];
        int least = (lengths.Sum() + 511) / 512;
        Assert.InRange(Pack(lengths, 512, 1 << 16).Count, least, (int)(least * 1.004));
    }

    [Fact]
    public void What_a_taker_of_rows_throws_comes_out()
    {
        using var packer = new WindowPacker(4, 8, _ => throw new InvalidDataException("full"));
        Assert.Throws<InvalidDataException>(() =>
        {
            for (int i = 0; i < 1_000_000; i++)
                packer.Add(new TokenizedDocument(new[] { 1, 2, 3 }, [], "c", 0));
            packer.Finish();
        });
    }

    private static int Token(int document, int place) => (document << 10) | place;

    private static List<int[]> Pack(int[] lengths, int capacity, int window)
    {
        var rows = new List<int[]>();
        using var packer = new WindowPacker(capacity, window, pieces => rows.Add(Row(pieces)));
        for (int i = 0; i < lengths.Length; i++)
        {
            int[] ids = [.. Enumerable.Range(0, lengths[i]).Select(at => Token(i, at))];
            packer.Add(new TokenizedDocument(ids, [new LabelRange(1, ids.Length)], "c", 0));
        }

        packer.Finish();
        return rows;
    }

    private static int[] Row(ReadOnlySpan<RowPiece> pieces)
    {
        var row = new List<int>();
        foreach (RowPiece piece in pieces)
        {
            int[] ids = piece.Ids.ToArray();
            Assert.Equal(Enumerable.Range(ids[0], ids.Length), ids);
            Assert.Equal(piece.Length > 1 ? [new LabelRange(1, piece.Length)] : [], piece.Labels.ToArray());
            row.AddRange(ids);
        }

        return [.. row];
    }
}
