using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Trainer.Contract;

namespace Drover.Trainer.Worker;

/// <summary>What TensorBoard shows of a run: one event file an attempt, on rank 0, brought to the object store while the run goes on.</summary>
internal sealed class RunBoard : IDisposable
{
    private static readonly TimeSpan UploadInterval = TimeSpan.FromSeconds(20);
    private readonly IObjectStore _store;
    private readonly string _run;
    private readonly TensorBoardWriter _writer;
    private readonly TimeProvider _time;
    private Task _upload = Task.CompletedTask;
    private long _uploaded;

    private RunBoard(RankContext rank, TrainSpec spec, TimeProvider time)
    {
        (_store, _run, _time) = (rank.Store, spec.Run, time);
        _writer = new TensorBoardWriter(Path.Combine(rank.Spec.AttemptFolder, $"events.out.tfevents.{time.GetUtcNow().ToUnixTimeSeconds()}.drover.{spec.AttemptName}"), time);
        _uploaded = time.GetTimestamp();
    }

    /// <summary>The board of a run on rank 0; null on others.</summary>
    public static RunBoard? Open(RankContext rank, TrainSpec spec) => rank.Collectives.Rank == 0 ? new RunBoard(rank, spec, TimeProvider.System) : null;

    /// <summary>Adds a step. Never waits for the object store.</summary>
    public void Write(StepEvent step, IReadOnlyList<RankMemory> memory)
    {
        _writer.Write(
            step.Step,
            [
                ("train/loss", step.Loss),
                ("train/learning_rate", step.LearningRate),
                ("train/grad_norm", step.GradNorm),
                ("train/loss_scale", step.LossScale),
                ("train/skipped_steps", step.SkippedSteps),
                ("speed/tokens_per_second", step.TokensPerSecond),
                ("speed/model_flops_per_second", step.ModelFlopsPerSecond),
                ("speed/mfu", step.Mfu),
                ("speed/step_seconds", step.Seconds),
                ("memory/resident_bytes", step.MemoryBytes),
                .. memory.Select(m => ($"memory/{m.Class}_{m.Place}_bytes".ToLowerInvariant(), (double)m.Bytes)),
                ("data/tokens_seen", step.TokensSeen),
            ]);
        if (!_upload.IsCompleted || _time.GetElapsedTime(_uploaded) < UploadInterval)
            return;
        _uploaded = _time.GetTimestamp();
        _upload = UploadQuietlyAsync();
    }

    /// <summary>Adds an evaluation on held-out data.</summary>
    public void Write(HeldOutEvent update) => _writer.Write(
        update.Step,
        [
            ("eval/loss", update.Loss),
            ("eval/perplexity", Math.Exp(update.Loss)),
            .. update.Datasets.SelectMany(d => new[] { ($"eval/{d.Label}/loss", d.Loss), ($"eval/{d.Label}/perplexity", Math.Exp(d.Loss)) }),
        ]);

    /// <summary>Adds a text.</summary>
    public void Write(long step, string tag, string text) => _writer.WriteText(step, tag, text);

    /// <summary>Brings everything so far to the object store.</summary>
    public async Task UploadAsync()
    {
        await _upload.ConfigureAwait(false);
        await PutAsync().ConfigureAwait(false);
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _upload.GetAwaiter().GetResult();
        _writer.Dispose();
    }

    private async Task UploadQuietlyAsync()
    {
        try
        {
            await Task.Run(PutAsync).ConfigureAwait(false);
        }
        catch (Exception e) when (e is Errors.DroverException or IOException or HttpRequestException)
        {
            // Only to look at meanwhile: the upload with the next checkpoint is the one that counts.
        }
    }

    private async Task PutAsync()
    {
        _writer.Flush();
        var file = new FileStream(_writer.Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        await using (file.ConfigureAwait(false))
            await _store.PutAsync(ObjectKey.Join(RunKeys.TensorBoard(_run), Path.GetFileName(_writer.Path)), file, PutCondition.None, CancellationToken.None).ConfigureAwait(false);
    }
}
