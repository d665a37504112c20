using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Drover.ObjectStore;
using Microsoft.Win32.SafeHandles;

namespace Drover.DataPrep.Building;

/// <summary>
/// Writes a file from front to back in blocks that go to the disk past the page cache (Linux's O_DIRECT), one of them while the next is filled.
/// Rows are flushed anyway and not read again by who made them: copied through the cache, a dataset of gigabytes costs more time there than its
/// tokens do (benchmarks/results/2026-11-26-dataprep-speed.md). The last part of a block, and every file that is shorter, goes the usual way, as
/// do all of them where the file system knows no other.
/// </summary>
internal sealed partial class UncachedWriter : ForwardWriteStream
{
    private const int BlockBytes = 1 << 20;
    // What disks and file systems ask for: buffers, places and lengths at multiples of it.
    private const int Alignment = 4096;
    private const int InvalidArgument = 22; // EINVAL
    private const int MostKept = 16;
    private static readonly ConcurrentBag<Memory<byte>> Kept = [];

    private readonly SafeFileHandle _file;
    private Memory<byte> _filling = Rent();
    private Memory<byte> _leaving = Rent();
    private Task _writing = Task.CompletedTask;
    private int _filled;
    private bool _isUncached;

    /// <param name="file">Empty, and written by nothing else until <see cref="Finish"/>; it stays open.</param>
    public UncachedWriter(FileStream file) => _file = file.SafeFileHandle;

    /// <inheritdoc />
    /// <exception cref="IOException">Of a block before: the disk is full.</exception>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            int count = Math.Min(buffer.Length, BlockBytes - _filled);
            buffer[..count].CopyTo(_filling.Span[_filled..]);
            (_filled, Written) = (_filled + count, Written + count);
            if (_filled == BlockBytes)
                WriteFilled();
            buffer = buffer[count..];
        }
    }

    /// <inheritdoc />
    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <summary>Writes what is left; the file is then like any other. It is not flushed: the end of it may be in the cache.</summary>
    public void Finish()
    {
        _writing.GetAwaiter().GetResult();
        SetUncached(false);
        RandomAccess.Write(_file, _filling.Span[.._filled], Written - _filled);
        _filled = 0;
    }

    /// <inheritdoc />
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            // What went wrong there was told by the next call, or nobody asks any more.
            ((IAsyncResult)_writing).AsyncWaitHandle.WaitOne();
            Return(ref _filling);
            Return(ref _leaving);
        }

        base.Dispose(disposing);
    }

    // The block before has to be away: its memory is filled next.
    private void WriteFilled()
    {
        _writing.GetAwaiter().GetResult();
        (_filling, _leaving) = (_leaving, _filling);
        _filled = 0;
        long offset = Written - BlockBytes;
        Memory<byte> block = _leaving;
        _writing = Task.Run(() => WriteBlock(block, offset));
    }

    private void WriteBlock(Memory<byte> block, long offset)
    {
        if (offset == 0)
            SetUncached(true);
        try
        {
            RandomAccess.Write(_file, block.Span, offset);
        }
        catch (IOException e) when (_isUncached && e.HResult == InvalidArgument)
        {
            SetUncached(false);
            RandomAccess.Write(_file, block.Span, offset);
        }
    }

    private void SetUncached(bool value)
    {
        if (_isUncached == value || !OperatingSystem.IsLinux())
            return;
        int flag = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x10000 : 0x4000; // O_DIRECT
        int flags = FileControl(_file, GetFlags, 0);
        _isUncached = flags >= 0 && FileControl(_file, SetFlags, value ? flags | flag : flags & ~flag) == 0 ? value : _isUncached;
    }

    private static Memory<byte> Rent()
    {
        if (Kept.TryTake(out Memory<byte> block))
            return block;
        // Of the heap whose arrays never move.
        byte[] array = GC.AllocateUninitializedArray<byte>(BlockBytes + Alignment, pinned: true);
        return array.AsMemory((int)(-Marshal.UnsafeAddrOfPinnedArrayElement(array, 0) & (Alignment - 1)), BlockBytes);
    }

    private static void Return(ref Memory<byte> block)
    {
        if (!block.IsEmpty && Kept.Count < MostKept)
            Kept.Add(block);
        block = default;
    }

    private const int GetFlags = 3; // F_GETFL
    private const int SetFlags = 4; // F_SETFL

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int FileControl(SafeFileHandle file, int command, int value);
}
