using System.Runtime.InteropServices;

namespace Drover.Trainer.Worker;

/// <summary>Whether this rank was asked to end after the running step: a file "stop" in the attempt's folder, or SIGTERM.</summary>
internal sealed class StopRequest : IDisposable
{
    private readonly string _file;
    private readonly PosixSignalRegistration _terminate;
    private volatile bool _signalled;

    public StopRequest(string attemptFolder)
    {
        _file = Path.Combine(attemptFolder, "stop");
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = true;
            _signalled = true;
        });
    }

    public bool IsMade => _signalled || File.Exists(_file);

    public void Dispose() => _terminate.Dispose();
}
