using System.Runtime.InteropServices;

namespace Drover.Trainer.Worker;

/// <summary>
/// Memory for the copy that a save writes: mapped for it, and given back whole when it is written. Taken from the heaps of .NET or of the C library it
/// would stay with the process, beside what the next steps need.
/// </summary>
internal sealed unsafe partial class HostCopy : SafeHandle
{
    private readonly nuint _bytes;

    /// <param name="count">Of fp32 values; they hold anything.</param>
    /// <exception cref="InsufficientMemoryException">There is no more.</exception>
    public HostCopy(long count)
        : base(0, ownsHandle: true)
    {
        _bytes = checked((nuint)Math.Max(count, 1) * sizeof(float));
        SetHandle(OperatingSystem.IsLinux() ? mmap(0, _bytes, ReadAndWrite, PrivateAndAnonymous, -1, 0) : (nint)NativeMemory.Alloc(_bytes));
        if (IsInvalid)
            throw new InsufficientMemoryException($"no {_bytes} bytes for the copy that a save writes");
    }

    /// <inheritdoc />
    public override bool IsInvalid => handle is 0 or -1;

    /// <summary>Some of the values; of no use any more once the copy is disposed.</summary>
    public Span<float> Values(long first, int count)
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(checked((nuint)(first + count) * sizeof(float)), _bytes);
        return new Span<float>((float*)handle + first, count);
    }

    /// <inheritdoc />
    protected override bool ReleaseHandle()
    {
        if (OperatingSystem.IsLinux())
            return munmap(handle, _bytes) == 0;
        NativeMemory.Free((void*)handle);
        return true;
    }

    private const int ReadAndWrite = 3; // PROT_READ | PROT_WRITE
    private const int PrivateAndAnonymous = 0x22; // MAP_PRIVATE | MAP_ANONYMOUS

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint mmap(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int munmap(nint address, nuint length);
}
