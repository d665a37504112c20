using System.Runtime.InteropServices;

namespace Drover.Trainer.Worker;

/// <summary>Ends this rank when whoever started it is gone, so that a killed service leaves no training behind.</summary>
internal static partial class ParentWatch
{
    private const int SetParentDeathSignal = 1; // PR_SET_PDEATHSIG
    private const int Kill = 9;
    private const int Orphaned = 3;

    /// <param name="byMpirun">
    /// mpirun starts ranks from its main thread, so its end and nothing else sends the signal. The .NET service starts a process from a
    /// pool thread, whose own end would send it too: there the pipe is watched instead.
    /// </param>
    /// <param name="watchInput">Standard input is a pipe that the service holds (mpirun hands it on to rank 0).</param>
    public static void Start(bool byMpirun, bool watchInput)
    {
        if (byMpirun && OperatingSystem.IsLinux())
            _ = SetProcessOption(SetParentDeathSignal, Kill, 0, 0, 0);
        if (!watchInput)
            return;
        var thread = new Thread(() =>
        {
            using Stream input = Console.OpenStandardInput();
            Span<byte> buffer = stackalloc byte[64];
            while (input.Read(buffer) > 0)
            {
                // Nothing is ever sent.
            }

            Console.Error.WriteLine("the trainer service is gone: this run ends");
            ProcessEnd.Now(Orphaned);
        })
        {
            IsBackground = true,
            Name = "parent watch",
        };
        thread.Start();
    }

    [LibraryImport("libc", EntryPoint = "prctl")]
    private static partial int SetProcessOption(int option, nuint argument2, nuint argument3, nuint argument4, nuint argument5);
}
