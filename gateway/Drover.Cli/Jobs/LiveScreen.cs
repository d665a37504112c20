using Drover.Protocol.Common.V1;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Drover.Cli.Jobs;

/// <summary>One bar a step, with loss and tokens per second, and the loss of the newest training as a curve, on a terminal.</summary>
internal sealed class LiveScreen(CliContext context) : IJobScreen
{
    private const int CurveHeight = 8;
    private const int MaxCurveWidth = 72;
    private readonly Dictionary<string, ProgressTask> _bars = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _notes = new(StringComparer.Ordinal);
    // Drawn by the terminal's own timer, while events come.
    private readonly Lock _gate = new();
    private LossCurve _curve = new();
    private string _curveOf = "";

    public Task ShowAsync(IAsyncEnumerable<WatchedEvent> events) =>
        context.Terminal.Progress()
            .AutoClear(false)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn(), new RemainingTimeColumn())
            .UseRenderHook((bars, _) => new Rows([bars, .. Curve()]))
            .StartAsync(async screen =>
            {
                await foreach (WatchedEvent update in events.ConfigureAwait(false))
                    Show(screen, update.Step, update.Event);
            });

    private void Show(ProgressContext screen, string step, JobEvent what)
    {
        string name = step.Length > 0 ? step : "job";
        switch (what.EventCase)
        {
            case JobEvent.EventOneofCase.StateChanged when step.Length > 0 || _bars.Count == 0 || _bars.ContainsKey(name):
                Bar(screen, name).Description = Describe(name, what.StateChanged.ToString().ToLowerInvariant());
                if (what.StateChanged == JobState.Succeeded)
                    Complete(Bar(screen, name));
                else if (what.StateChanged is JobState.Failed or JobState.Cancelled)
                    Bar(screen, name).StopTask();
                break;
            case JobEvent.EventOneofCase.Progress when what.Progress.Unit != "steps" || step.Length > 0 || !_bars.Keys.Any(k => k != name):
                ProgressTask bar = Bar(screen, name);
                bar.IsIndeterminate = what.Progress.Total <= 0;
                bar.MaxValue = Math.Max(1, what.Progress.Total);
                bar.Value = what.Progress.Done;
                bar.Description = Describe(name, _notes.GetValueOrDefault(name) ?? Text.Progress(what.Progress));
                break;
            case JobEvent.EventOneofCase.StepMetrics:
                _notes[name] = $"loss {Text.Loss(what.StepMetrics.Loss)}  {Text.Count(what.StepMetrics.TokensPerSecond)} tokens/s";
                Bar(screen, name).Description = Describe(name, _notes[name]);
                Draw(name, what.StepMetrics);
                break;
            case JobEvent.EventOneofCase.Evaluation:
                context.Terminal.MarkupLineInterpolated($"[dim]{name}:[/] {PlainScreen.Line(what.Evaluation)}");
                break;
            case JobEvent.EventOneofCase.Log:
                context.Terminal.MarkupLineInterpolated($"[dim]{name}:[/] {what.Log.Message}");
                break;
            default:
                break;
        }
    }

    private void Draw(string name, StepMetrics metrics)
    {
        lock (_gate)
        {
            if (_curveOf != name)
                (_curveOf, _curve) = (name, new LossCurve());
            _curve.Add(metrics.Step, metrics.Loss);
        }
    }

    private IEnumerable<IRenderable> Curve()
    {
        lock (_gate)
        {
            IReadOnlyList<string> lines = _curve.Draw(Math.Clamp(context.Terminal.Profile.Width - 12, 10, MaxCurveWidth), CurveHeight);
            return lines.Count == 0 ? [] : [new Spectre.Console.Text($"\nloss of {_curveOf}\n{string.Join('\n', lines)}")];
        }
    }

    private ProgressTask Bar(ProgressContext screen, string name)
    {
        if (!_bars.TryGetValue(name, out ProgressTask? bar))
            _bars[name] = bar = screen.AddTask(Describe(name, "waiting"));
        return bar;
    }

    private static string Describe(string name, string note) => $"[bold]{name.EscapeMarkup()}[/] {note.EscapeMarkup()}";

    private static void Complete(ProgressTask bar)
    {
        bar.IsIndeterminate = false;
        bar.Value = bar.MaxValue;
        bar.StopTask();
    }
}
