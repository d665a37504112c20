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
        List<IReadOnlyList<DocumentPiece>> rows = Pack(input.Lengths, input.Capacity, input.Window);
        Assert.All(rows, row => Assert.InRange(row.Sum(p => p.Length), 1, input.Capacity));
        foreach (IGrouping<string, DocumentPiece> document in rows.SelectMany(r => r).GroupBy(p => p.Document.Category))
        {
            int next = 0;
            foreach (DocumentPiece piece in document.OrderBy(p => p.Start))
            {
                Assert.Equal(next, piece.Start);
                next += piece.Length;
            }

            Assert.Equal(input.Lengths[int.Parse(document.Key, System.Globalization.CultureInfo.InvariantCulture)], next);
        }

        Assert.Equal(input.Lengths.Sum(), rows.Sum(r => r.Sum(p => p.Length)));
    });

    [Fact]
    public void A_border_between_windows_costs_hardly_any_room()
    {
        var random = new Random(5);
        int[] lengths = [.. Enumerable.Range(0, 20_000).Select(_ => 20 + (int)(600 * Math.Pow(random.NextDouble(), 3)))];
        int least = (lengths.Sum() + 511) / 512;
        Assert.InRange(Pack(lengths, 512, 1 << 16).Count, least, (int)(least * 1.004));
    }

    private static List<IReadOnlyList<DocumentPiece>> Pack(int[] lengths, int capacity, int window)
    {
        var rows = new List<IReadOnlyList<DocumentPiece>>();
        var packer = new WindowPacker(capacity, window, rows.Add);
        for (int i = 0; i < lengths.Length; i++)
            packer.Add(new TokenizedDocument(new int[lengths[i]], [], i.ToString(System.Globalization.CultureInfo.InvariantCulture), 0));
        packer.Finish();
        return rows;
    }
}
