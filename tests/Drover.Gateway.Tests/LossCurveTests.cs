using Drover.Cli.Jobs;

namespace Drover.Gateway.Tests;

public sealed class LossCurveTests
{
    [Fact]
    public void A_falling_loss_goes_from_the_upper_left_to_the_lower_right()
    {
        var curve = new LossCurve();
        for (int step = 1; step <= 8; step++)
            curve.Add(step, 9 - step);
        Assert.Equal(
        [
            "8.0000 ⠑⢄  ",
            "1.0000   ⠑⢄",
            "       1  8",
        ], curve.Draw(4, 2).Select(line => line.Replace('\u2800', ' ')));
    }

    [Fact]
    public void Steps_that_are_done_again_take_the_place_of_what_was_there()
    {
        var curve = new LossCurve();
        foreach ((int step, double loss) in new[] { (1, 4.0), (2, 3.0), (3, 99.0), (2, 3.0), (3, double.NaN), (3, 2.0) })
            curve.Add(step, loss);
        Assert.StartsWith("4.0000", curve.Draw(3, 2)[0], StringComparison.Ordinal);
    }

    [Fact]
    public void A_long_run_keeps_its_shape()
    {
        var few = new LossCurve();
        var many = new LossCurve();
        for (int step = 0; step <= 100_000; step += 25)
            few.Add(step, Math.Exp(-step / 20_000.0));
        for (int step = 0; step <= 100_000; step++)
            many.Add(step, Math.Exp(-step / 20_000.0));
        string a = string.Concat(few.Draw(60, 8)), b = string.Concat(many.Draw(60, 8));
        Assert.Equal(a.Length, b.Length);
        Assert.InRange(a.Zip(b).Count(pair => pair.First != pair.Second), 0, 10);
    }
}
