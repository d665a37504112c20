using System.Text;
using Drover.Errors;

namespace Drover.ObjectStore.Tests;

/// <summary>What every object store does. Each test uses keys under a folder of its own.</summary>
public abstract class ObjectStoreContract
{
    private readonly string _home = "test-" + Guid.NewGuid().ToString("N");

    protected abstract IObjectStore Store { get; }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private string Key(string name) => $"{_home}/{name}";

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(70_000)]
    [InlineData((12 << 20) + 7)] // larger than one part of an upload
    public async Task What_was_put_is_read_again(int size)
    {
        byte[] bytes = Bytes(size, 1);
        ObjectInfo put = await Store.PutBytesAsync(Key("a"), bytes, PutCondition.None, Cancellation);
        Assert.Equal(size, put.Size);
        Assert.NotEmpty(put.Tag);
        Assert.Equal(put, await Store.FindAsync(Key("a"), Cancellation));
        Assert.Equal(bytes, await Store.ReadAllBytesAsync(Key("a"), Cancellation));
        await using Stream whole = await Store.OpenReadAsync(Key("a"), 0, null, Cancellation);
        using var copy = new MemoryStream();
        await whole.CopyToAsync(copy, Cancellation);
        Assert.Equal(bytes, copy.ToArray());
    }

    [Fact]
    public async Task A_stream_of_unknown_length_is_stored_whole()
    {
        byte[] bytes = Bytes(9 << 20, 2);
        await Store.PutAsync(Key("a"), new UnseekableStream(bytes), PutCondition.None, Cancellation);
        Assert.Equal(bytes, await Store.ReadAllBytesAsync(Key("a"), Cancellation));
    }

    [Fact]
    public async Task A_finished_file_is_stored_whole_and_stays_when_the_file_goes()
    {
        byte[] bytes = Bytes(9 << 20, 5);
        using var folder = new Drover.Testing.TemporaryFolder();
        using (var file = new FileStream(folder["a"], FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose))
        {
            file.Write(bytes);
            Assert.Equal(bytes.Length, (await Store.PutFileAsync(Key("a"), file, PutCondition.IfAbsent, Cancellation)).Size);
            Assert.Equal(FailureCode.AlreadyExists, await FailureOf(async () => await Store.PutFileAsync(Key("a"), file, PutCondition.IfAbsent, Cancellation)));
            await Store.PutFileAsync(Key("b"), file, PutCondition.None, Cancellation);
        }

        Assert.Equal(bytes, await Store.ReadAllBytesAsync(Key("a"), Cancellation));
        await Store.DeleteAsync(Key("a"), Cancellation);
        Assert.Equal(bytes, await Store.ReadAllBytesAsync(Key("b"), Cancellation));
    }

    [Theory]
    [InlineData(0, 10)]
    [InlineData(3, 4)]
    [InlineData(9, 1)]
    [InlineData(10, 0)]
    [InlineData(0, 0)]
    [InlineData(4, null)]
    [InlineData(10, null)]
    public async Task Ranges_give_exactly_their_bytes(int offset, int? length)
    {
        byte[] bytes = Bytes(10, 3);
        await Store.PutBytesAsync(Key("a"), bytes, PutCondition.None, Cancellation);
        await using Stream stream = await Store.OpenReadAsync(Key("a"), offset, length, Cancellation);
        using var copy = new MemoryStream();
        await stream.CopyToAsync(copy, Cancellation);
        Assert.Equal(bytes.AsSpan(offset, length ?? (10 - offset)).ToArray(), copy.ToArray());
    }

    [Theory]
    [InlineData(11L, null)]
    [InlineData(11L, 0L)]
    [InlineData(5L, 6L)]
    [InlineData(10L, 1L)]
    [InlineData(-1L, null)]
    [InlineData(0L, -1L)]
    [InlineData(5L, long.MaxValue - 2)]
    public async Task Ranges_past_the_end_are_refused(long offset, long? length)
    {
        await Store.PutBytesAsync(Key("a"), Bytes(10, 4), PutCondition.None, Cancellation);
        Assert.Equal(FailureCode.OutOfRange, await FailureOf(async () => await Store.OpenReadAsync(Key("a"), offset, length, Cancellation)));
    }

    [Fact]
    public async Task What_is_not_there_is_not_found()
    {
        Assert.Null(await Store.FindAsync(Key("none"), Cancellation));
        Assert.Equal(FailureCode.NotFound, await FailureOf(async () => await Store.OpenReadAsync(Key("none"), 0, null, Cancellation)));
        Assert.Equal(FailureCode.NotFound, await FailureOf(async () => await Store.ReadAllBytesAsync(Key("none"), Cancellation)));
        await Store.PutTextAsync(Key("folder/a"), "x", Cancellation);
        Assert.Null(await Store.FindAsync(Key("folder"), Cancellation));
        Assert.Null(await Store.FindAsync(Key("folder/a/b"), Cancellation));
        Assert.Equal(FailureCode.NotFound, await FailureOf(async () => await Store.OpenReadAsync(Key("folder"), 0, null, Cancellation)));
        Assert.Equal(FailureCode.NotFound, await FailureOf(async () => await Store.OpenReadAsync(Key("folder/a/b"), 0, null, Cancellation)));
    }

    [Fact]
    public async Task Replacing_changes_bytes_and_tag()
    {
        var tags = new HashSet<string>();
        for (int i = 0; i < 5; i++)
            Assert.True(tags.Add((await Store.PutTextAsync(Key("a"), $"same size {i}", Cancellation)).Tag));
        Assert.Equal("same size 4", await Store.ReadTextAsync(Key("a"), Cancellation));
    }

    [Theory]
    [InlineData(5)]
    [InlineData(9 << 20)]
    public async Task If_absent_refuses_what_is_there_and_leaves_it(int size)
    {
        byte[] first = Bytes(size, 5);
        await Store.PutAsync(Key("a"), new UnseekableStream(first), PutCondition.IfAbsent, Cancellation);
        Assert.Equal(FailureCode.AlreadyExists, await FailureOf(async () => await Store.PutAsync(Key("a"), new UnseekableStream(Bytes(size, 6)), PutCondition.IfAbsent, Cancellation)));
        Assert.Equal(first, await Store.ReadAllBytesAsync(Key("a"), Cancellation));
    }

    [Fact]
    public async Task Of_many_that_put_if_absent_at_once_one_wins()
    {
        for (int round = 0; round < 5; round++)
        {
            string key = Key($"race-{round}");
            bool[] won = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(async () =>
            {
                try
                {
                    await Store.PutBytesAsync(key, Encoding.UTF8.GetBytes($"writer {i}"), PutCondition.IfAbsent, Cancellation);
                    return true;
                }
                catch (DroverException e) when (e.Code is FailureCode.AlreadyExists or FailureCode.Aborted)
                {
                    return false;
                }
            })));
            Assert.Equal(1, won.Count(w => w));
            Assert.Equal($"writer {Array.IndexOf(won, true)}", await Store.ReadTextAsync(key, Cancellation));
        }
    }

    [Fact]
    public async Task A_list_is_in_order_and_of_the_prefix_only()
    {
        foreach (string name in new[] { "b/2", "a", "b/10", "b/1", "b-1", "c/d/e" })
            await Store.PutTextAsync(Key(name), name, Cancellation);
        Assert.Equal(["a", "b-1", "b/1", "b/10", "b/2", "c/d/e"], await ListAsync(""));
        Assert.Equal(["b/1", "b/10", "b/2"], await ListAsync("b/"));
        Assert.Equal(["b-1", "b/1", "b/10", "b/2"], await ListAsync("b"));
        Assert.Equal(["b/1", "b/10"], await ListAsync("b/1"));
        Assert.Empty(await ListAsync("x/"));
        Assert.Empty(await ListAsync("a/"));
    }

    [Fact]
    public async Task A_list_tells_sizes_and_tags()
    {
        ObjectInfo put = await Store.PutTextAsync(Key("a"), "12345", Cancellation);
        await foreach (ObjectInfo info in Store.ListAsync(Key(""), Cancellation))
            Assert.Equal(put, info);
    }

    [Fact]
    public async Task Deleting_removes_and_deleting_nothing_succeeds()
    {
        await Store.PutTextAsync(Key("a"), "x", Cancellation);
        await Store.DeleteAsync(Key("a"), Cancellation);
        Assert.Null(await Store.FindAsync(Key("a"), Cancellation));
        await Store.DeleteAsync(Key("a"), Cancellation);
        await Store.PutBytesAsync(Key("a"), "y"u8.ToArray(), PutCondition.IfAbsent, Cancellation);
    }

    [Theory]
    [InlineData("")]
    [InlineData("/")]
    [InlineData("/etc/passwd")]
    [InlineData("a/")]
    [InlineData("a//b")]
    [InlineData("..")]
    [InlineData("../x")]
    [InlineData("a/../../x")]
    [InlineData("a/./b")]
    [InlineData("a\\..\\b")]
    [InlineData("a b")]
    [InlineData("a\0b")]
    [InlineData("a\nb")]
    [InlineData("a?b")]
    [InlineData("a%2e%2e")]
    [InlineData("语")]
    public async Task Keys_that_are_not_plain_are_refused_everywhere(string key)
    {
        Assert.Equal(FailureCode.InvalidArgument, await FailureOf(async () => await Store.FindAsync(key, Cancellation)));
        Assert.Equal(FailureCode.InvalidArgument, await FailureOf(async () => await Store.OpenReadAsync(key, 0, null, Cancellation)));
        Assert.Equal(FailureCode.InvalidArgument, await FailureOf(async () => await Store.PutTextAsync(key, "x", Cancellation)));
        Assert.Equal(FailureCode.InvalidArgument, await FailureOf(async () => await Store.DeleteAsync(key, Cancellation)));
    }

    [Fact]
    public async Task A_key_that_is_too_long_is_refused()
    {
        Assert.Equal(FailureCode.InvalidArgument, await FailureOf(async () => await Store.PutTextAsync(new string('a', ObjectKey.MaxLength + 1), "x", Cancellation)));
    }

    [Fact]
    public async Task A_prefix_that_leads_out_is_refused()
    {
        Assert.Equal(FailureCode.InvalidArgument, await FailureOf(async () =>
        {
            await foreach (ObjectInfo _ in Store.ListAsync("../", Cancellation))
                Assert.Fail("listed something");
        }));
    }

    [Fact]
    public async Task A_reader_sees_the_old_bytes_or_the_new_ones_never_half()
    {
        byte[] old = Bytes(300_000, 7);
        byte[] fresh = Bytes(400_000, 8);
        await Store.PutBytesAsync(Key("a"), old, PutCondition.None, Cancellation);
        var source = new GatedStream(fresh);
        Task put = Store.PutAsync(Key("a"), source, PutCondition.None, Cancellation).AsTask();
        await source.HalfRead;
        Assert.Equal(old, await Store.ReadAllBytesAsync(Key("a"), Cancellation));
        source.Release();
        await put;
        Assert.Equal(fresh, await Store.ReadAllBytesAsync(Key("a"), Cancellation));
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(20 << 20)]
    public async Task A_put_whose_source_fails_leaves_nothing(int size)
    {
        await Assert.ThrowsAsync<InvalidDataException>(async () => await Store.PutAsync(Key("a"), new FailingStream(size), PutCondition.None, Cancellation));
        Assert.Null(await Store.FindAsync(Key("a"), Cancellation));
        Assert.Empty(await ListAsync(""));
    }

    [Fact]
    public async Task A_cancelled_put_leaves_nothing()
    {
        using var stop = new CancellationTokenSource();
        var source = new GatedStream(Bytes(1000, 9));
        Task put = Store.PutAsync(Key("a"), source, PutCondition.None, stop.Token).AsTask();
        await source.HalfRead;
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => put);
        Assert.Null(await Store.FindAsync(Key("a"), Cancellation));
    }

    protected static async Task<FailureCode> FailureOf(Func<Task> action) => (await Assert.ThrowsAsync<DroverException>(action)).Code;

    protected static byte[] Bytes(int size, int seed)
    {
        byte[] bytes = new byte[size];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private async Task<List<string>> ListAsync(string prefix)
    {
        var names = new List<string>();
        await foreach (ObjectInfo info in Store.ListAsync(Key(prefix), Cancellation))
            names.Add(info.Key[(_home.Length + 1)..]);
        return names;
    }
}
