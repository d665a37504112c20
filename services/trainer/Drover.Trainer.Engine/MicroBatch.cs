using Drover.Formats.Datasets;

namespace Drover.Trainer.Engine;

/// <summary>Rows that go through the model together.</summary>
/// <param name="Rows">The rows.</param>
/// <param name="RowIds">The global id of each: noise is keyed by it.</param>
internal sealed record MicroBatch(PackedRow[] Rows, long[] RowIds);
