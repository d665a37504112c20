using System.Globalization;
using Drover.Protocol.Common.V1;

namespace Drover.Cli.Jobs;

/// <summary>Lines of text, for logs and pipes: states, messages, checkpoints, and about twenty lines of metrics a run.</summary>
internal sealed class PlainScreen(CliContext context) : IJobScreen
{
    private const int MetricLines = 20;
    private readonly Dictionary<string, Progress> _progress = new(StringComparer.Ordinal);

    public async Task ShowAsync(IAsyncEnumerable<WatchedEvent> events)
    {
        await foreach (WatchedEvent update in events.ConfigureAwait(false))
        {
            if (LineFor(update) is { } line)
                await context.Output.WriteLineAsync(update.Step.Length > 0 ? $"[{update.Step}] {line}" : line).ConfigureAwait(false);
        }
    }

    private string? LineFor(WatchedEvent update)
    {
        JobEvent what = update.Event;
        switch (what.EventCase)
        {
            case JobEvent.EventOneofCase.StateChanged:
                return what.StateChanged.ToString().ToLowerInvariant();
            case JobEvent.EventOneofCase.Log:
                return what.Log.Severity == LogLine.Types.Severity.Info ? what.Log.Message : $"{what.Log.Severity.ToString().ToLowerInvariant()}: {what.Log.Message}";
            case JobEvent.EventOneofCase.CheckpointCommitted:
                return $"checkpoint {what.CheckpointCommitted.Checkpoint}";
            case JobEvent.EventOneofCase.StepMetrics:
                return IsShown(update.Step, what.StepMetrics.Step) ? Line(what.StepMetrics) : null;
            case JobEvent.EventOneofCase.Evaluation:
                return Line(what.Evaluation);
            case JobEvent.EventOneofCase.Progress:
                bool isNew = !_progress.TryGetValue(update.Step, out Progress? before) || before.Stage != what.Progress.Stage;
                _progress[update.Step] = what.Progress;
                // Optimizer steps have lines of their own, with their metrics.
                return isNew && update.Step.Length > 0 && what.Progress.Stage != "step" ? what.Progress.Stage : null;
            default:
                return null;
        }
    }

    private bool IsShown(string step, long done)
    {
        long total = _progress.TryGetValue(step, out Progress? progress) ? progress.Total : 0;
        long every = Math.Max(1, (total + MetricLines - 1) / MetricLines);
        return done == 1 || done == total || done % every == 0;
    }

    internal static string Line(StepMetrics metrics) => string.Create(
        CultureInfo.InvariantCulture,
        $"step {metrics.Step}  loss {Text.Loss(metrics.Loss)}  lr {metrics.LearningRate:0.00e+0}  grad {metrics.GradNorm:0.000}  {Text.Count(metrics.TokensPerSecond)} tokens/s  {metrics.ModelFlopsPerSecond / 1e9:0.0} GFLOP/s  MFU {metrics.Mfu:0.00}  {Text.Bytes(metrics.MemoryBytes)}");

    internal static string Line(EvaluationMetrics metrics) => string.Create(
        CultureInfo.InvariantCulture,
        $"evaluation {metrics.Step}  loss {Text.Loss(metrics.Loss)}  perplexity {metrics.Perplexity:0.00}{(metrics.Datasets.Count > 1 ? "  (" + string.Join(", ", metrics.Datasets.Select(d => $"{d.Label} {Text.Loss(d.Loss)}")) + ")" : "")}{(metrics.IsBest ? "  best so far" : "")}");
}
