using System.Runtime.InteropServices;

namespace Drover.Trainer.Model.Kernels;

/// <summary>
/// Work on the threads of the tensor library's own OpenMP runtime, which wait between its products anyway: other threads would take their cores from
/// them.
/// </summary>
internal static unsafe class LibraryThreads
{
    private static readonly delegate* unmanaged<delegate* unmanaged<nint, void>, nint, uint, uint, void> Parallel;
    private static readonly delegate* unmanaged<int> ThreadNumber;
    private static readonly delegate* unmanaged<int> ThreadCount;

    static LibraryThreads()
    {
        // Found through the library that depends on it: its own file has a name that changes with every build.
        if (!NativeLibrary.TryLoad("torch_cpu", typeof(LibraryThreads).Assembly, DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories, out nint library)
            || !NativeLibrary.TryGetExport(library, "GOMP_parallel", out nint parallel)
            || !NativeLibrary.TryGetExport(library, "omp_get_thread_num", out nint number)
            || !NativeLibrary.TryGetExport(library, "omp_get_num_threads", out nint count))
            return;
        Parallel = (delegate* unmanaged<delegate* unmanaged<nint, void>, nint, uint, uint, void>)parallel;
        ThreadNumber = (delegate* unmanaged<int>)number;
        ThreadCount = (delegate* unmanaged<int>)count;
    }

    /// <summary>Calls <paramref name="work"/> once for each part, from 0; returns when all are done.</summary>
    public static void ForEach(int parts, Action<int> work)
    {
        if (Parallel is null)
        {
            System.Threading.Tasks.Parallel.For(0, parts, work);
            return;
        }

        var region = new Region(parts, work);
        var handle = GCHandle.Alloc(region);
        try
        {
            Parallel(&Run, GCHandle.ToIntPtr(handle), (uint)parts, 0);
        }
        finally
        {
            handle.Free();
        }

        if (region.Failure is { } failure)
            throw new InvalidOperationException("A kernel failed.", failure);
    }

    [UnmanagedCallersOnly]
    private static void Run(nint data)
    {
        var region = (Region)GCHandle.FromIntPtr(data).Target!;
        try
        {
            // OpenMP may give fewer threads than were asked for.
            for (int part = ThreadNumber(), threads = ThreadCount(); part < region.Parts; part += threads)
                region.Work(part);
        }
#pragma warning disable CA1031 // Nothing may be thrown through OpenMP.
        catch (Exception e)
#pragma warning restore CA1031
        {
            region.Failure = e;
        }
    }

    private sealed class Region(int parts, Action<int> work)
    {
        public int Parts => parts;

        public Action<int> Work => work;

        public Exception? Failure { get; set; }
    }
}
