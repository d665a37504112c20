using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>
/// The batch after a save: a checkpoint tells which rows it has and what the saved weights make of the first of them, and a run that goes
/// on from it must find the same before its first step. One forward pass over a few rows is all that it costs.
/// </summary>
internal static class NextBatch
{
    // Enough that wrong weights show; few, since it is paid for at every save.
    private const int MaxRows = 8;

    // Sums in another order move the mean of 8 rows by a few 1e-7. In 16 bits each layout rounds activations differently.
    private const double Tolerance = 1e-4;
    private const double HalfTolerance = 2e-2;

    /// <summary>Describes what comes next. Every rank calls it.</summary>
    public static NextBatchState Of(TrainingEngine engine, string precision)
    {
        long[] ids = engine.NextRowIds();
        long[] first = ids[..Math.Min(MaxRows, ids.Length)];
        return new NextBatchState(HashOf(ids), ids[0], first.Length, engine.EvaluateRows(first).Mean, precision);
    }

    /// <summary>Holds a run that goes on against what the checkpoint said. Every rank calls it, and all come to the same end.</summary>
    /// <exception cref="DroverException">FailedPrecondition when the rows are others; DataLoss when the loss is another.</exception>
    public static void Check(TrainingEngine engine, NextBatchState expected, string precision, string checkpoint)
    {
        NextBatchState found = Of(engine, precision);
        if (found.Rows != expected.Rows)
        {
            throw new DroverException(
                FailureCode.FailedPrecondition,
                "RESUME_OTHER_ROWS",
                $"The batch after '{checkpoint}' began with row {expected.FirstRow}, and here it begins with row {found.FirstRow}: the seed, the batch size or the data are others. Go on with the spec and data that the run has, or start a run of another name.");
        }

        bool isHalf = precision != "fp32" || expected.Precision != "fp32";
        double apart = Math.Abs(found.Loss - expected.Loss) / Math.Max(1e-12, Math.Abs(expected.Loss));
        // What was not finite when it was saved cannot be compared.
        if (double.IsFinite(expected.Loss) && !(apart <= (isHalf ? HalfTolerance : Tolerance)))
        {
            throw new DroverException(
                FailureCode.DataLoss,
                "RESUME_OTHER_LOSS",
                string.Create(CultureInfo.InvariantCulture, $"The weights of '{checkpoint}' had a loss of {expected.Loss:G9} on the first {expected.CheckedRows} rows of the next batch ({expected.Precision}), and here it is {found.Loss:G9} ({precision}): they are not what was saved, or are computed wrongly. Verify the checkpoint; go on from the one before it by deleting this one."));
        }
    }

    private static string HashOf(long[] ids)
    {
        var text = new StringBuilder();
        foreach (long id in ids)
            text.Append(id.ToString(CultureInfo.InvariantCulture)).Append('\n');
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(text.ToString())));
    }
}
