using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Drover.ObjectStore;

/// <summary>
/// Makes the disk begin to write a long file while there is more to come: a flush at the end alone would wait for all of it. On Linux; nothing
/// elsewhere.
/// </summary>
/// <param name="file">Written from front to back.</param>
internal sealed partial class WriteBehind(FileStream file)
{
    private const int StepBytes = 16 << 20;
    private const uint BeginWritingOnly = 2; // SYNC_FILE_RANGE_WRITE
    private long _begun = file.Position;

    /// <summary>After a write.</summary>
    public void Written()
    {
        long position = file.Position;
        if (position - _begun < StepBytes || !OperatingSystem.IsLinux())
            return;
        // Only a hint: what it could not begin, the flush does.
        _ = sync_file_range(file.SafeFileHandle, _begun, position - _begun, BeginWritingOnly);
        _begun = position;
    }

    [LibraryImport("libc")]
    private static partial int sync_file_range(SafeFileHandle file, long offset, long bytes, uint flags);
}
