namespace Drover.Trainer.Engine;

/// <summary>
/// Which rows a replica reads in a step. Place of a row in the step: accumulation first, then replica, then within the micro-batch, so
/// that the rows of a step are the same for any layout.
/// </summary>
/// <param name="Order">Of the run.</param>
/// <param name="GlobalBatchRows">Rows of a step.</param>
/// <param name="MicroBatchRows">Rows of one forward pass of one replica.</param>
/// <param name="Replicas">Data-parallel replicas.</param>
public sealed record StepRows(IRowOrder Order, int GlobalBatchRows, int MicroBatchRows, int Replicas)
{
    /// <summary>Micro-batches of a replica in a step.</summary>
    public int Accumulation => GlobalBatchRows / (MicroBatchRows * Replicas);

    /// <summary>Row ids of a replica's micro-batches, in order.</summary>
    /// <param name="batch">Global batches of the order before it: steps done, where none were skipped.</param>
    /// <param name="replica">From 0.</param>
    public IEnumerable<long[]> IdsOf(long batch, int replica)
    {
        for (int a = 0; a < Accumulation; a++)
        {
            long first = (batch * GlobalBatchRows) + ((((long)a * Replicas) + replica) * MicroBatchRows);
            yield return [.. Enumerable.Range(0, MicroBatchRows).Select(i => Order.RowAt(first + i))];
        }
    }
}
