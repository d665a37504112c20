using System.Runtime.InteropServices;

namespace Drover.Trainer.Collectives;

/// <summary>Requests of one communicator that are tested together. Used by the communication thread alone.</summary>
internal sealed unsafe class MpiRequests(MpiTypes types, nint communicator) : IDisposable
{
    // MPI counts are ints; longer messages are cut. Both ends cut alike, and parts of one tag keep their order.
    private const long LongestMessage = 1 << 30;
    private nint* _requests;
    private int _count;
    private int _room;

    /// <summary>Starts to send bytes; none at all sends nothing, as long as the receiver does the same.</summary>
    public void Send(nint data, long bytes, int to, int tag)
    {
        for (long done = 0; done < bytes; done += LongestMessage)
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Isend(data + (nint)done, Part(bytes - done), types.Byte, to, tag, communicator, Next()), "MPI_Isend");
    }

    /// <summary>Starts to receive bytes.</summary>
    public void Receive(nint data, long bytes, int from, int tag)
    {
        for (long done = 0; done < bytes; done += LongestMessage)
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Irecv(data + (nint)done, Part(bytes - done), types.Byte, from, tag, communicator, Next()), "MPI_Irecv");
    }

    /// <summary>Starts to copy the root's bytes.</summary>
    public void Broadcast(nint data, long bytes, int root)
    {
        for (long done = 0; done < bytes; done += LongestMessage)
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Ibcast(data + (nint)done, Part(bytes - done), types.Byte, root, communicator, Next()), "MPI_Ibcast");
    }

    /// <summary>Starts to reduce in place.</summary>
    public void Reduce(nint data, long count, Element element, bool max)
    {
        long longest = LongestMessage / (int)element;
        for (long done = 0; done < count; done += longest)
        {
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Iallreduce(OpenMpiLibrary.InPlace, data + (nint)(done * (int)element), (int)Math.Min(longest, count - done),
                element == Element.Float ? types.Float : types.Double, max ? types.Max : types.Sum, communicator, Next()), "MPI_Iallreduce");
        }
    }

    /// <summary>Starts to wait for every rank.</summary>
    public void Barrier() => OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Ibarrier(communicator, Next()), "MPI_Ibarrier");

    /// <summary>Whether all are done, which they may become by this look.</summary>
    public bool Test()
    {
        if (_count == 0)
            return true;
        int done = 0;
        OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Testall(_count, _requests, &done, 0), "MPI_Testall");
        if (done != 0)
            _count = 0;
        return done != 0;
    }

    public void Dispose()
    {
        NativeMemory.Free(_requests);
        _requests = null;
    }

    private static int Part(long bytes) => (int)Math.Min(LongestMessage, bytes);

    private nint* Next()
    {
        if (_count == _room)
        {
            _room = Math.Max(4, 2 * _room);
            _requests = (nint*)NativeMemory.Realloc(_requests, (nuint)(_room * sizeof(nint)));
        }

        return _requests + _count++;
    }
}

/// <summary>Addresses of Open MPI's types and operations.</summary>
internal sealed record MpiTypes(nint Byte, nint Float, nint Double, nint Sum, nint Max);
