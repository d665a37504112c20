using System.Runtime.InteropServices;

namespace Drover.Formats.Checkpoints;

/// <summary>
/// Reads little-endian fp32 in order: many short runs through one buffer, so that they cost few reads, and long ones to their places at once. Owns
/// the stream.
/// </summary>
internal sealed class FloatStream(Stream source) : IAsyncDisposable
{
    private const int BufferBytes = 1 << 20;
    private byte[] _buffer = [];
    private int _start;
    private int _end;

    public async ValueTask ReadAsync(Memory<float> target, CancellationToken cancellation)
    {
        while (target.Length > 0)
        {
            if (_end == _start && target.Length >= BufferBytes / sizeof(float))
            {
                await source.ReadExactlyAsync(new FloatBytes(target).Memory, cancellation).ConfigureAwait(false);
                return;
            }

            int taken = Math.Min(target.Length, await FillAsync(cancellation).ConfigureAwait(false));
            MemoryMarshal.Cast<byte, float>(_buffer.AsSpan(_start, taken * sizeof(float))).CopyTo(target.Span);
            _start += taken * sizeof(float);
            target = target[taken..];
        }
    }

    public async ValueTask SkipAsync(long count, CancellationToken cancellation)
    {
        while (count > 0)
        {
            int taken = (int)Math.Min(count, await FillAsync(cancellation).ConfigureAwait(false));
            _start += taken * sizeof(float);
            count -= taken;
        }
    }

    public ValueTask DisposeAsync() => source.DisposeAsync();

    /// <summary>Whole floats that are ready, at least one.</summary>
    private async ValueTask<int> FillAsync(CancellationToken cancellation)
    {
        if (_end - _start < sizeof(float))
        {
            if (_buffer.Length == 0)
                _buffer = new byte[BufferBytes];
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
            _end += await source.ReadAtLeastAsync(_buffer.AsMemory(_end), sizeof(float) - _end, throwOnEndOfStream: true, cancellation).ConfigureAwait(false);
        }

        return (_end - _start) / sizeof(float);
    }
}
