using System.Text.Json;
using Drover.Trainer.Contract;

namespace Drover.Trainer.Worker;

/// <summary>Rank 0's events, one JSON object a line, each handed to the system before the call returns. Other ranks' go nowhere.</summary>
internal sealed class EventLog(string? path) : IDisposable
{
    private readonly FileStream? _file = path is null ? null : new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite, 1);

    public void Write(WorkerEvent update)
    {
        if (_file is null)
            return;
        // One write a line: a reader never meets two halves of different lines.
        _file.Write([.. JsonSerializer.SerializeToUtf8Bytes(update, WorkerEventJson.Default.WorkerEvent), (byte)'\n']);
        _file.Flush();
    }

    public void Dispose() => _file?.Dispose();
}
