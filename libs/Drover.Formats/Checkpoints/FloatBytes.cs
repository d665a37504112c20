using System.Buffers;
using System.Runtime.InteropServices;

namespace Drover.Formats.Checkpoints;

/// <summary>The bytes of floats in memory, for streams that read into memory of bytes alone.</summary>
internal sealed unsafe class FloatBytes(Memory<float> floats) : MemoryManager<byte>
{
    /// <inheritdoc />
    public override Span<byte> GetSpan() => MemoryMarshal.AsBytes(floats.Span);

    /// <inheritdoc />
    public override MemoryHandle Pin(int elementIndex = 0)
    {
        MemoryHandle pinned = floats.Pin();
        return new MemoryHandle((byte*)pinned.Pointer + elementIndex, default, new Pinned(pinned));
    }

    /// <inheritdoc />
    public override void Unpin()
    {
        // A handle lets go of what it pinned.
    }

    /// <inheritdoc />
    protected override void Dispose(bool disposing)
    {
        // It owns nothing.
    }

    private sealed class Pinned(MemoryHandle handle) : IPinnable
    {
        private MemoryHandle _handle = handle;

        public MemoryHandle Pin(int elementIndex) => throw new NotSupportedException();

        public void Unpin() => _handle.Dispose();
    }
}
