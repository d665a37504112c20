using System.Diagnostics;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Trainer.Collectives;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>The steps of a run on one rank, with what happens between them: metrics, saves, the request to stop.</summary>
internal sealed class TrainLoop : IDisposable
{
    private readonly RankContext _rank;
    private readonly TrainSpec _spec;
    private readonly TrainingEngine _engine;
    private readonly long _steps;
    private readonly HeldOutEvaluation? _heldOut;
    private readonly TextSamples? _samples;
    private readonly CheckpointSaver _saver;
    private readonly SaveRequest _saveRequest;
    private readonly StepProfile _profile;
    private readonly RunBoard? _board;
    private readonly double _peakFlops;
    private readonly List<double> _speeds = [];
    private CheckpointManifest _state;

    /// <param name="rank">This rank.</param>
    /// <param name="spec">The run.</param>
    /// <param name="engine">Loaded.</param>
    /// <param name="state">Where the run stands, as a manifest without shards.</param>
    /// <param name="steps">Where it ends.</param>
    /// <param name="heldOut">What it is evaluated on, or null.</param>
    /// <param name="samples">Texts that it continues for TensorBoard, or null.</param>
    public TrainLoop(RankContext rank, TrainSpec spec, TrainingEngine engine, CheckpointManifest state, long steps, HeldOutEvaluation? heldOut, TextSamples? samples)
    {
        (_rank, _spec, _engine, _state, _steps, _heldOut, _samples) = (rank, spec, engine, state, steps, heldOut, samples);
        _saver = new CheckpointSaver(rank, engine);
        _saveRequest = new SaveRequest(rank, spec.CheckpointIntervalSeconds);
        _profile = new StepProfile(rank, spec, engine);
        _board = RunBoard.Open(rank, spec);
        // Measured on all ranks at once, since that is how they compute.
        _peakFlops = spec.PeakFlops > 0 ? spec.PeakFlops : rank.Collectives.Sum(MatrixPeak.Measure(EvaluateCommand.PrecisionOf(rank.Spec), rank.Device));
    }

    public void Run()
    {
        long begun = _engine.StepsDone;
        _rank.Events.Write(new WorkerEvent { Started = new StartedEvent(begun, _spec.Stage?.RunSteps ?? _steps) });
        bool stopped = false;
        if (begun == 0 && begun < _steps)
            Evaluate();
        while (_engine.StepsDone < _steps && !stopped)
        {
            _profile.BeginStep();
            StepResult step = _engine.Step();
            _profile.EndStep(step);
            if (step.Anomaly is { Action: AnomalyAction.Rollback } rollback)
            {
                GoBack(step, rollback);
                return;
            }

            (stopped, bool written, bool saves, RankMemory[] memory) = Agree();
            _state = _state with
            {
                Step = step.Step,
                RowsConsumed = (step.Step + _engine.Guard.SkippedBatches) * _spec.GlobalBatchRows,
                TokensSeen = _state.TokensSeen + step.RealTokens,
                Loss = step.Loss,
                LossScale = _engine.LossScale,
                Guard = _engine.Guard,
            };
            Tell(step, memory);
            if (step.Anomaly is { } anomaly)
                _rank.Events.Write(new WorkerEvent { Warning = $"{anomaly.Message}. {(anomaly.Action == AnomalyAction.Skip ? "The update was skipped." : "The run goes on.")}" });
            if (written)
                FinishSave();
            if (_board is not null && _samples?.IsDue(step.Step, _steps) == true)
                _samples.Write(_engine, _board);
            bool isBest = Evaluate();
            if (isBest || saves || (_spec.CheckpointIntervalSteps > 0 && step.Step % _spec.CheckpointIntervalSteps == 0))
                Save();
        }

        if (_engine.StepsDone > begun && _saver.LastStep != _engine.StepsDone)
            Save();
        // The last one is what the run was for.
        if (FinishSave() is { } failure)
            throw failure;
        _rank.Events.Write(new WorkerEvent { Ended = Ended(stopped) });
    }

    public void Dispose() => _board?.Dispose();

    /// <summary>
    /// One small reduction a step in which the ranks agree on what comes next: whether any was asked to stop, whether all have written
    /// their part of the save in flight; whether a save or a profile is asked for; and the memory of the largest of them, resident (first) and as counted by class.
    /// </summary>
    private (bool Stop, bool Written, bool Saves, RankMemory[] Memory) Agree()
    {
        RankMemory[] memory = RankMemory.Of(_engine.Memory);
        double[] values = [_rank.Stop.IsMade ? 1 : 0, _saver.InFlight && !_saver.Written ? 1 : 0, _profile.Seen(), _saveRequest.IsMade ? 1 : 0, .. memory.Select(m => (double)m.Bytes)];
        _rank.Collectives.AllReduceMax(values);
        _profile.Ask((int)values[2]);
        return (values[0] > 0, _saver.InFlight && values[1] == 0, values[3] > 0, [.. memory.Select((m, i) => m with { Bytes = (long)values[i + 4] })]);
    }

    // The first step prepares the library's kernels.
    private EndedEvent Ended(bool stopped)
    {
        double[] steady = [.. _speeds.Skip(1).Order()];
        double[] most = [Process.GetCurrentProcess().PeakWorkingSet64, _engine.Memory.Lines.Sum(l => l.PeakBytes)];
        _rank.Collectives.AllReduceMax(most);
        return new EndedEvent(_engine.StepsDone, stopped, steady.Length == 0 ? 0 : steady[steady.Length / 2], (long)most[0], (long)most[1]);
    }

    // The service starts the ranks again from the last checkpoint: the save in flight is to be that.
    private void GoBack(StepResult step, StepAnomaly anomaly)
    {
        FinishSave();
        _rank.Events.Write(new WorkerEvent { Rollback = new RollbackEvent(step.Step, anomaly.NextBatch, anomaly.Message) });
    }

    /// <summary>Evaluates where that is due.</summary>
    /// <returns>Whether the model is better than ever before: then it is to be saved.</returns>
    private bool Evaluate()
    {
        if (_heldOut?.IsDue(_engine.StepsDone, _steps) != true)
            return false;
        (HeldOutState state, HeldOutEvent update) = _heldOut.Run(_engine, _state.HeldOut);
        _state = _state with { HeldOut = state };
        _rank.Events.Write(new WorkerEvent { HeldOut = update });
        _board?.Write(update);
        return update.IsBest;
    }

    private void Save()
    {
        bool waits = _saver.InFlight && !_saver.Written;
        (long before, long waiting) = (_saver.LastStep, Stopwatch.GetTimestamp());
        FinishSave();
        if (waits && Stopwatch.GetElapsedTime(waiting) is { TotalSeconds: > 1 } waited)
            _rank.Events.Write(new WorkerEvent { Warning = $"Training waited {waited.TotalSeconds:F1} s for the save of step {before} before it could save step {_engine.StepsDone}: the object store takes longer than the time between two saves. Save less often." });
        _state = _state with { NextBatch = NextBatch.Of(_engine, _rank.Spec.Precision) };
        _saveRequest.Begin();
        _saver.Start(_state);
    }

    private DroverException? FinishSave()
    {
        if (!_saver.InFlight)
            return null;
        if (_board is not null)
            _board.UploadAsync().Finish();
        DroverException? failure = _saver.Finish();
        if (failure is not null)
            _rank.Events.Write(new WorkerEvent { Warning = $"{failure.Message} Training goes on; the checkpoint before it is the last one." });
        return failure;
    }

    private void Tell(StepResult step, RankMemory[] memory)
    {
        double flops = step.ModelFlops / step.Seconds;
        var update = new StepEvent(step.Step, step.Loss, step.LearningRate, step.GradNorm, step.RealTokens / step.Seconds, flops, flops / _peakFlops, memory[0].Bytes, _state.TokensSeen, step.LabelTokens, step.Seconds, step.LossScale, step.SkippedSteps);
        _speeds.Add(update.TokensPerSecond);
        _rank.Events.Write(new WorkerEvent { Step = update });
        _board?.Write(update, memory[1..]);
    }
}
