using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Drover.Trainer.Collectives;

/// <summary>One thread that does what it is given, in that order.</summary>
internal sealed partial class CommunicationThread : IDisposable
{
    private const uint NapMicroseconds = 50;
    private readonly BlockingCollection<Call> _calls = [];
    private readonly Thread _thread;
    private volatile bool _awaited;

    public CommunicationThread()
    {
        _thread = new Thread(DoCalls) { IsBackground = true, Name = "collectives" };
        _thread.Start();
    }

    /// <summary>Queues a call.</summary>
    public Call Start(Action<Call> work)
    {
        var call = new Call(this, work);
        _calls.Add(call);
        return call;
    }

    /// <summary>Queues a call and waits for it.</summary>
    public void Run(Action work) => Start(_ => work()).Wait();

    public void Dispose()
    {
        _calls.CompleteAdding();
        _thread.Join();
        _calls.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "usleep")]
    private static partial int SleepMicroseconds(uint microseconds);

    private void DoCalls()
    {
        foreach (Call call in _calls.GetConsumingEnumerable())
            call.Do();
    }

    /// <summary>A queued call.</summary>
    internal sealed class Call(CommunicationThread owner, Action<Call> work) : ICollectiveHandle
    {
        private readonly TaskCompletionSource _done = new();

        /// <summary>Whether somebody waits, for this call or a later one: the core of the computation is free.</summary>
        public bool IsAwaited => owner._awaited;

        /// <summary>Leaves the core to the computation for a moment.</summary>
        /// <remarks>Thread.Sleep knows no less than a millisecond.</remarks>
        public static void Nap() => _ = SleepMicroseconds(NapMicroseconds);

        public void Wait()
        {
            if (_done.Task.IsCompletedSuccessfully)
                return;
            owner._awaited = true;
            try
            {
                _done.Task.GetAwaiter().GetResult();
            }
            finally
            {
                owner._awaited = false;
            }
        }

        public void Do()
        {
            try
            {
                work(this);
                _done.SetResult();
            }
            catch (Exception e)
            {
                // Told to whoever waits.
                _done.SetException(e);
            }
        }
    }
}
