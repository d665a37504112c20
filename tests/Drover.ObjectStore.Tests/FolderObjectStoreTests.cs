using Drover.Errors;
using Drover.Testing;
using Microsoft.Extensions.Time.Testing;

namespace Drover.ObjectStore.Tests;

public sealed class FolderObjectStoreTests : ObjectStoreContract, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public FolderObjectStoreTests() => Store = new FolderObjectStore(_folder.Path);

    protected override IObjectStore Store { get; }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_a_crash_left_a_day_ago_is_swept_at_start_and_younger_puts_are_not()
    {
        File.WriteAllText(_folder[".incoming/old"], "half");
        File.WriteAllText(_folder[".incoming/young"], "half");
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        File.SetLastWriteTimeUtc(_folder[".incoming/old"], clock.GetUtcNow().UtcDateTime.AddHours(-25));
        File.SetLastWriteTimeUtc(_folder[".incoming/young"], clock.GetUtcNow().UtcDateTime.AddHours(-23));
        _ = new FolderObjectStore(_folder.Path, clock);
        Assert.Equal(["young"], Directory.EnumerateFiles(_folder[".incoming"]).Select(Path.GetFileName));
    }

    [Fact]
    public async Task A_failed_put_leaves_no_file_behind()
    {
        await Assert.ThrowsAsync<InvalidDataException>(async () => await Store.PutAsync("a/b", new FailingStream(10), PutCondition.None, Cancellation));
        Assert.Empty(Directory.EnumerateFiles(_folder.Path, "*", SearchOption.AllDirectories));
    }

    [Fact]
    public async Task The_folder_of_unfinished_puts_is_no_place_for_objects()
    {
        await File.WriteAllTextAsync(_folder[".incoming/x"], "half", Cancellation);
        Assert.Equal(FailureCode.InvalidArgument, await FailureOf(async () => await Store.ReadTextAsync(".incoming/x", Cancellation)));
        await foreach (ObjectInfo info in Store.ListAsync("", Cancellation))
            Assert.Fail($"listed {info.Key}");
    }

    [Fact]
    public async Task An_object_and_a_folder_of_one_name_are_refused()
    {
        await Store.PutTextAsync("a/b", "x", Cancellation);
        Assert.Equal(FailureCode.FailedPrecondition, await FailureOf(async () => await Store.PutTextAsync("a", "x", Cancellation)));
        Assert.Equal(FailureCode.FailedPrecondition, await FailureOf(async () => await Store.PutTextAsync("a/b/c/d", "x", Cancellation)));
    }
}
