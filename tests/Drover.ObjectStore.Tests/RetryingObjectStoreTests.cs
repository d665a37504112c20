using System.Runtime.CompilerServices;
using Drover.Errors;
using Drover.Testing;
using Microsoft.Extensions.Time.Testing;

namespace Drover.ObjectStore.Tests;

/// <summary>A store that goes away for a while, in front of a real folder: all that the contract says holds through it.</summary>
public sealed class RetryingObjectStoreTests : ObjectStoreContract, IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly FlakyObjectStore _flaky;
    private readonly RetryingObjectStore _store;

    public RetryingObjectStoreTests()
    {
        _flaky = new FlakyObjectStore(new FolderObjectStore(_folder.Path)) { FailEvery = 3 };
        _store = new RetryingObjectStore(_flaky, TimeSpan.FromMinutes(2), new SwiftTimeProvider());
    }

    protected override IObjectStore Store => _store;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _store.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task An_outage_shorter_than_the_patience_costs_time_only_and_a_longer_one_is_told()
    {
        _flaky.FailEvery = 0;
        var time = new FakeTimeProvider { AutoAdvanceAmount = TimeSpan.Zero };
        using var store = new RetryingObjectStore(_flaky, TimeSpan.FromSeconds(90), time);
        _flaky.IsDown = true;
        Task<ObjectInfo> put = store.PutTextAsync("a/b", "x", Cancellation).AsTask();
        for (int second = 0; second < 60; second++)
            await PassAsync(time);
        Assert.False(put.IsCompleted);
        _flaky.IsDown = false;
        while (!put.IsCompleted)
            await PassAsync(time);
        Assert.Equal("x", await _flaky.ReadTextAsync("a/b", Cancellation));

        _flaky.IsDown = true;
        Task<ObjectInfo?> find = store.FindAsync("a/b", Cancellation).AsTask();
        while (!find.IsCompleted)
            await PassAsync(time);
        Assert.Equal(FailureCode.Unavailable, (await Assert.ThrowsAsync<DroverException>(() => find)).Code);
    }

    [Fact]
    public async Task A_put_if_absent_whose_answer_was_lost_is_no_conflict_with_itself()
    {
        _flaky.FailEvery = 0;
        _flaky.LoseAnswers = 1;
        Assert.Equal(4, (await _store.PutBytesAsync("a/claim", "mine"u8.ToArray(), PutCondition.IfAbsent, Cancellation)).Size);
        _flaky.LoseAnswers = 1;
        Assert.Equal(FailureCode.AlreadyExists, await FailureOf(async () => await _store.PutBytesAsync("a/claim", "another"u8.ToArray(), PutCondition.IfAbsent, Cancellation)));
        Assert.Equal("mine", await _store.ReadTextAsync("a/claim", Cancellation));
    }

    [Fact]
    public async Task A_read_that_breaks_off_goes_on_where_it_was()
    {
        byte[] bytes = Bytes(1_000_000, 4);
        await _store.PutBytesAsync("a/b", bytes, PutCondition.None, Cancellation);
        _flaky.BreakReadsAfter = 100_000;
        Assert.Equal(bytes, await _store.ReadAllBytesAsync("a/b", Cancellation));
        byte[] part = new byte[450_000];
        await _store.ReadRangeAsync("a/b", 300_000, part, Cancellation);
        Assert.Equal(bytes.AsSpan(300_000, 450_000).ToArray(), part);
    }

    private static async Task PassAsync(FakeTimeProvider time)
    {
        time.Advance(TimeSpan.FromSeconds(1));
        await Task.Delay(1, Cancellation);
    }

    /// <summary>Waits no longer than it must.</summary>
    private sealed class SwiftTimeProvider : TimeProvider
    {
        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            base.CreateTimer(callback, state, dueTime > TimeSpan.FromMilliseconds(1) ? TimeSpan.FromMilliseconds(1) : dueTime, period);
    }

    private sealed class FlakyObjectStore(IObjectStore inner) : IObjectStore
    {
        private int _calls;

        public int FailEvery { get; set; }

        public bool IsDown { get; set; }

        public int LoseAnswers { get; set; }

        public int BreakReadsAfter { get; set; }

        public ValueTask<IReadOnlyList<ObjectInfo>> RemoveLeftoversAsync(TimeSpan age, bool dryRun, CancellationToken cancellation) => inner.RemoveLeftoversAsync(age, dryRun, cancellation);

        public ValueTask<ObjectInfo?> FindAsync(string key, CancellationToken cancellation)
        {
            Fail();
            return inner.FindAsync(key, cancellation);
        }

        public async ValueTask<Stream> OpenReadAsync(string key, long offset, long? length, CancellationToken cancellation)
        {
            Fail();
            Stream stream = await inner.OpenReadAsync(key, offset, length, cancellation);
            return BreakReadsAfter > 0 ? new BreakingStream(stream, BreakReadsAfter) : stream;
        }

        public async ValueTask<ObjectInfo> PutAsync(string key, Stream content, PutCondition condition, CancellationToken cancellation)
        {
            Fail();
            ObjectInfo info = await inner.PutAsync(key, content, condition, cancellation);
            if (LoseAnswers-- > 0)
                throw Down();
            return info;
        }

        public async IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken cancellation)
        {
            // Breaks off in the middle: what was given before is not to be given again.
            int left = IsDown ? 0 : FailEvery > 0 && ++_calls % FailEvery == 0 ? 2 : int.MaxValue;
            await foreach (ObjectInfo info in inner.ListAsync(prefix, cancellation))
            {
                if (left-- == 0)
                    throw Down();
                yield return info;
            }
        }

        public ValueTask DeleteAsync(string key, CancellationToken cancellation)
        {
            Fail();
            return inner.DeleteAsync(key, cancellation);
        }

        private void Fail()
        {
            if (IsDown || (FailEvery > 0 && ++_calls % FailEvery == 0))
                throw Down();
        }

        private static DroverException Down() => new(FailureCode.Unavailable, "DOWN", "The store is down.");

        private sealed class BreakingStream(Stream inner, int after) : MemoryStream
        {
            private int _left = after;

            public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
            {
                if (_left == 0)
                    throw Down();
                int read = await inner.ReadAsync(buffer[..Math.Min(_left, buffer.Length)], cancellationToken);
                _left -= read;
                return read;
            }

            protected override void Dispose(bool disposing)
            {
                if (disposing)
                    inner.Dispose();
                base.Dispose(disposing);
            }
        }
    }
}
