namespace Drover.ObjectStore.Tests;

/// <summary>A stream whose length nobody knows, and that gives few bytes at a time.</summary>
internal sealed class UnseekableStream(byte[] bytes) : ForwardReadStream
{
    private int _position;

    public override int Read(Span<byte> buffer)
    {
        int count = Math.Min(Math.Min(buffer.Length, 60_001), bytes.Length - _position);
        bytes.AsSpan(_position, count).CopyTo(buffer);
        _position += count;
        return count;
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        ValueTask.FromResult(Read(buffer.Span));
}

/// <summary>Gives half of its bytes, then waits to be released.</summary>
internal sealed class GatedStream(byte[] bytes) : ForwardReadStream
{
    private readonly TaskCompletionSource _half = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _position;

    public Task HalfRead => _half.Task;

    public void Release() => _gate.TrySetResult();

    public override int Read(Span<byte> buffer) => throw new NotSupportedException("read asynchronously");

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int half = bytes.Length / 2;
        if (_position == half)
        {
            _half.TrySetResult();
            await _gate.Task.WaitAsync(cancellationToken);
        }

        int end = _position < half ? half : bytes.Length;
        int count = Math.Min(buffer.Length, end - _position);
        bytes.AsMemory(_position, count).CopyTo(buffer);
        _position += count;
        return count;
    }
}

/// <summary>Fails after some bytes.</summary>
internal sealed class FailingStream(int good) : ForwardReadStream
{
    private int _left = good;

    public override int Read(Span<byte> buffer)
    {
        if (_left == 0)
            throw new InvalidDataException("the source broke");
        int count = Math.Min(buffer.Length, _left);
        buffer[..count].Clear();
        _left -= count;
        return count;
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        ValueTask.FromResult(Read(buffer.Span));
}
