namespace Drover.Trainer.Engine;

/// <summary>Which row stands at a position of the endless stream that a run reads: a pure function, so that a position is all the state there is.</summary>
public interface IRowOrder
{
    /// <summary>Positions of an epoch.</summary>
    long RowsPerEpoch { get; }

    /// <summary>The row at a position, from 0.</summary>
    long RowAt(long position);
}
