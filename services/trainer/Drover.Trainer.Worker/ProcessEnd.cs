using System.Runtime.InteropServices;

namespace Drover.Trainer.Worker;

/// <summary>Ends the process while other threads compute. The usual exit takes libtorch's tables down under them, and they crash: then the end looks like a fault.</summary>
internal static partial class ProcessEnd
{
    /// <summary>Ends it; nothing of the runtime or of libraries runs any more.</summary>
    public static void Now(int exitCode)
    {
        Console.Out.Flush();
        Console.Error.Flush();
        if (OperatingSystem.IsLinux())
            EndAtOnce(exitCode);
        Environment.Exit(exitCode);
    }

    [LibraryImport("libc", EntryPoint = "_exit")]
    private static partial void EndAtOnce(int exitCode);
}
