using System.ComponentModel;
using System.Diagnostics;
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
    public async Task A_full_disk_is_told_takes_nothing_away_and_is_written_to_again_when_there_is_room()
    {
        string disk = Directory.CreateDirectory(_folder["disk"]).FullName;
        Assert.SkipUnless(OperatingSystem.IsLinux() && Run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk), "needs the right to mount a small disk");
        try
        {
            var store = new FolderObjectStore(disk);
            await store.PutBytesAsync("a", new byte[1 << 20], PutCondition.None, Cancellation);
            DroverException full = await Assert.ThrowsAsync<DroverException>(async () => await store.PutBytesAsync("b", new byte[3 << 20], PutCondition.None, Cancellation));
            Assert.Equal((FailureCode.ResourceExhausted, "DISK_FULL"), (full.Code, full.Reason));
            Assert.Equal(FailureCode.ResourceExhausted, (await Assert.ThrowsAsync<DroverException>(async () => await store.PutBytesAsync("a", new byte[3 << 20], PutCondition.None, Cancellation))).Code);
            Assert.Equal(["a"], Directory.EnumerateFiles(disk, "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(disk, f)));
            Assert.Equal(1 << 20, (await store.GetInfoAsync("a", Cancellation)).Size);
            await store.PutBytesAsync("b", new byte[1 << 19], PutCondition.None, Cancellation);
        }
        finally
        {
            Run("umount", disk);
        }
    }

    private static bool Run(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (Win32Exception)
        {
            return false;
        }
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
