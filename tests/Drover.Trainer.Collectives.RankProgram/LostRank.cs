using System.Runtime.InteropServices;
using Drover.Errors;

namespace Drover.Trainer.Collectives.RankProgram;

/// <summary>A run in which one rank goes away; the others write what they were told to files.</summary>
public static partial class LostRank
{
    /// <summary>Exit code of a rank that was told of the lost one.</summary>
    public const int Told = 3;
    private const int Kill = 9;
    private const int Stop = 19;
    private const int GoodOperations = 5;

    /// <summary>What can happen to a rank.</summary>
    public static IReadOnlyList<string> Ways { get; } = ["killed", "stopped", "absent"];

    public static string FileOf(string folder, int rank) => Path.Combine(folder, $"told-{rank}.txt");

    public static string CallbackFileOf(string folder, int rank) => Path.Combine(folder, $"callback-{rank}.txt");

    public static int Run(string folder, string how, int victim)
    {
        // mpirun ends all when one is gone; the workers, too, finish what they are at first.
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => context.Cancel = true);
        var options = new RankWatchOptions
        {
            SilenceLimit = TimeSpan.FromSeconds(3),
            OperationTimeOut = how == "absent" ? TimeSpan.FromSeconds(2) : TimeSpan.FromMinutes(10),
        };
        int rank = int.Parse(Environment.GetEnvironmentVariable("OMPI_COMM_WORLD_RANK")!, System.Globalization.CultureInfo.InvariantCulture);
        using OpenMpi world = OpenMpi.Join(options, failure =>
        {
            File.WriteAllText(CallbackFileOf(folder, rank), failure.Message);
            if (rank == victim)
                Environment.Exit(Told);
        });
        ICollectives data = world.Split("data", 0);
        try
        {
            float[] values = new float[1000];
            for (int i = 0; ; i++)
            {
                if (rank == victim && i == GoodOperations)
                    GoAway(how);
                data.AllReduceSum(values);
                if (i == GoodOperations)
                    throw new InvalidOperationException("an operation went on without a rank");
            }
        }
        catch (DroverException e)
        {
            File.WriteAllText(FileOf(folder, rank), $"{e.Code} {e.Reason} {e.Message}");
            return Told;
        }
    }

    private static void GoAway(string how)
    {
        // Until the others have told what they wait in.
        Thread.Sleep(TimeSpan.FromSeconds(1));
        if (how == "absent")
            Thread.Sleep(Timeout.Infinite);
        _ = SendSignal(Environment.ProcessId, how == "killed" ? Kill : Stop);
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);
}
