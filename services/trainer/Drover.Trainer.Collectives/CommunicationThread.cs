using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Drover.Trainer.Collectives;

/// <summary>
/// The one thread of a rank that calls MPI. It starts operations in the order in which they were asked for and then keeps all that are
/// in flight moving: Open MPI moves data only inside MPI calls, so a merely started operation would stand still while the rank computes.
/// <para>
/// While nobody waits, it looks in short naps, so that it does not take a core from the computation. Once somebody waits, that core
/// is free and it looks without pause, except in a wait that is long already: a nap is then a small part of it, and the core may be
/// needed by a rank that shares it.
/// </para>
/// </summary>
internal sealed partial class CommunicationThread : IDisposable
{
    private const uint NapMicroseconds = 50;
    private const long LongWaitMilliseconds = 2;
    private readonly BlockingCollection<MpiOperation> _asked = [];
    private readonly List<MpiOperation> _inFlight = [];
    private readonly Lock _lock = new();
    private readonly HashSet<MpiOperation> _open = [];
    private readonly Thread _thread;
    private Exception? _failure;
    private int _waiting;

    public CommunicationThread()
    {
        _thread = new Thread(Work) { IsBackground = true, Name = "collectives" };
        _thread.Start();
    }

    /// <summary>Why nothing can be done any more, if so.</summary>
    public Exception? Failure
    {
        get
        {
            lock (_lock)
                return _failure;
        }
    }

    /// <summary>Queues an operation; its handle is the operation.</summary>
    public ICollectiveHandle Start(MpiOperation operation)
    {
        operation.Thread = this;
        lock (_lock)
        {
            if (_failure is not null)
            {
                operation.End(_failure);
                return operation;
            }

            _open.Add(operation);
        }

        _asked.Add(operation);
        return operation;
    }

    /// <summary>Queues a call that is done at once, and waits for it.</summary>
    public void Run(Action call) => Start(new MpiCall(call)).Wait();

    /// <summary>Lets everybody go who waits now or later. From any thread: this one may be inside a call which will never end.</summary>
    public void Fail(Exception failure)
    {
        lock (_lock)
        {
            if (_failure is not null)
                return;
            _failure = failure;
            foreach (MpiOperation operation in _open)
                operation.End(failure);
            _open.Clear();
        }
    }

    public void Dispose()
    {
        _asked.CompleteAdding();
        // After a failure the thread may never come back; it ends with the process.
        if (Failure is null)
        {
            _thread.Join();
            _asked.Dispose();
        }
    }

    /// <summary>Tells that somebody waits (1) or no longer waits (-1).</summary>
    public void CountWaiting(int change) => Interlocked.Add(ref _waiting, change);

    [LibraryImport("libc", EntryPoint = "usleep")]
    private static partial int SleepMicroseconds(uint microseconds);

    private void Work()
    {
        try
        {
            long stillSince = 0;
            while (Failure is null && Take())
            {
                if (MoveAll())
                {
                    stillSince = 0;
                    continue;
                }

                if (stillSince == 0)
                    stillSince = Environment.TickCount64;
                // Thread.Sleep knows no less than a millisecond.
                if (Volatile.Read(ref _waiting) == 0 || Environment.TickCount64 - stillSince > LongWaitMilliseconds)
                    _ = SleepMicroseconds(NapMicroseconds);
            }
        }
        catch (Exception e)
        {
            // Told to whoever waits. What one operation broke breaks the order of all.
            Fail(e);
        }
    }

    /// <summary>Begins what was asked for; blocks while nothing is in flight; false at the end.</summary>
    private bool Take()
    {
        while (_inFlight.Count == 0 ? _asked.TryTake(out MpiOperation? next, Timeout.Infinite) : _asked.TryTake(out next))
        {
            next.Begin();
            _inFlight.Add(next);
        }

        return _inFlight.Count > 0;
    }

    private bool MoveAll()
    {
        bool moved = false;
        int kept = 0;
        for (int i = 0; i < _inFlight.Count; i++)
        {
            MpiOperation operation = _inFlight[i];
            bool done = operation.Move(ref moved);
            if (done)
                Finish(operation);
            else
                _inFlight[kept++] = operation;
            moved |= done;
        }

        _inFlight.RemoveRange(kept, _inFlight.Count - kept);
        return moved;
    }

    private void Finish(MpiOperation operation)
    {
        lock (_lock)
        {
            if (_open.Remove(operation))
                operation.End(null);
        }
    }
}

/// <summary>An operation on the communication thread: begun once, then moved until it is done.</summary>
internal abstract class MpiOperation : ICollectiveHandle, ITimedOperation
{
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public CommunicationThread? Thread { get; set; }

    /// <inheritdoc />
    public long DoneAt { get; private set; }

    /// <summary>Starts it, without waiting for anything.</summary>
    public abstract void Begin();

    /// <summary>Looks once; whether it is done. Sets <paramref name="moved"/> where a part of it came on.</summary>
    public abstract bool Move(ref bool moved);

    /// <summary>Lets those go who wait for it.</summary>
    public void End(Exception? failure)
    {
        DoneAt = Stopwatch.GetTimestamp();
        if (failure is null)
            _done.TrySetResult();
        else
            _done.TrySetException(failure);
    }

    /// <inheritdoc />
    public void Wait()
    {
        if (_done.Task.IsCompletedSuccessfully)
            return;
        Thread!.CountWaiting(1);
        try
        {
            _done.Task.GetAwaiter().GetResult();
        }
        finally
        {
            Thread.CountWaiting(-1);
        }
    }
}

/// <summary>A call that is done when it returns.</summary>
internal sealed class MpiCall(Action call) : MpiOperation
{
    public override void Begin() => call();

    public override bool Move(ref bool moved) => true;
}
