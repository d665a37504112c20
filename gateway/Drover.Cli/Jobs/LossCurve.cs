using System.Globalization;

namespace Drover.Cli.Jobs;

/// <summary>Losses of a training as a curve of Braille dots, two columns and four rows a character: the newest step is at the right.</summary>
internal sealed class LossCurve
{
    private const int MaxPoints = 4096;
    private readonly List<(long Step, double Loss)> _points = [];
    private int _every = 1;

    /// <summary>Whether there is something to see.</summary>
    public bool IsEmpty => _points.Count < 2;

    /// <summary>Adds a step. Steps that a restart does again take the place of what was there; every second point goes when there are many.</summary>
    public void Add(long step, double loss)
    {
        if (!double.IsFinite(loss))
            return;
        while (_points.Count > 0 && _points[^1].Step >= step)
            _points.RemoveAt(_points.Count - 1);
        if (_points.Count > 0 && step - _points[^1].Step < _every)
            return;
        _points.Add((step, loss));
        if (_points.Count <= MaxPoints)
            return;
        _every *= 2;
        _points.RemoveAll(point => point.Step % _every != 0);
    }

    /// <summary>Lines of text: the curve with its highest and lowest loss at the left, and the steps below.</summary>
    /// <param name="width">Characters of the curve.</param>
    /// <param name="height">Lines of the curve.</param>
    public IReadOnlyList<string> Draw(int width, int height)
    {
        if (IsEmpty)
            return [];
        double?[] columns = Columns(width * 2);
        double low = columns.Min()!.Value, high = columns.Max()!.Value;
        char[,] cells = new char[height, width];
        for (int column = 0; column < columns.Length; column++)
        {
            if (columns[column] is not { } loss)
                continue;
            int dot = high > low ? (int)Math.Round((high - loss) / (high - low) * ((height * 4) - 1)) : height * 2;
            cells[dot / 4, column / 2] |= Dot(column % 2, dot % 4);
        }

        string top = Text.Loss(high), bottom = Text.Loss(low);
        int margin = Math.Max(top.Length, bottom.Length);
        var lines = new List<string>();
        for (int row = 0; row < height; row++)
        {
            string label = row == 0 ? top : row == height - 1 ? bottom : "";
            lines.Add($"{label.PadLeft(margin)} {string.Concat(Enumerable.Range(0, width).Select(i => (char)('\u2800' | cells[row, i])))}");
        }

        string first = _points[0].Step.ToString(CultureInfo.InvariantCulture), last = _points[^1].Step.ToString(CultureInfo.InvariantCulture);
        lines.Add($"{new string(' ', margin + 1)}{first}{last.PadLeft(Math.Max(1, width - first.Length))}");
        return lines;
    }

    // The mean of the losses that fall on each column; none where the steps are fewer than the columns.
    private double?[] Columns(int count)
    {
        long first = _points[0].Step, span = _points[^1].Step - first;
        var sums = new (double Sum, int Count)[count];
        foreach ((long step, double loss) in _points)
        {
            ref (double Sum, int Count) at = ref sums[(int)((step - first) * (count - 1) / span)];
            at = (at.Sum + loss, at.Count + 1);
        }

        return [.. sums.Select(sum => sum.Count > 0 ? sum.Sum / sum.Count : (double?)null)];
    }

    // Unicode numbers the dots of a Braille cell 1, 2, 3, 7 down the left and 4, 5, 6, 8 down the right.
    private static char Dot(int column, int row) => (char)(row == 3 ? 0x40 << column : 1 << (row + (3 * column)));
}
