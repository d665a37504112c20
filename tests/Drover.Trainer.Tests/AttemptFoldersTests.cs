using Drover.Testing;
using Microsoft.Extensions.Time.Testing;

namespace Drover.Trainer.Tests;

public sealed class AttemptFoldersTests : IDisposable
{
    private readonly TemporaryFolder _work = new();
    private readonly FakeTimeProvider _time = new();
    private readonly AttemptFolders _folders;

    public AttemptFoldersTests() => _folders = new AttemptFolders(new WorkFolder(_work.Path), _time);

    [Fact]
    public void The_newest_few_of_a_run_stay_and_another_run_loses_none()
    {
        string other = OpenLater("runs/other");
        _folders.Close(other);
        string[] opened = [.. Enumerable.Range(0, AttemptFolders.Kept + 3).Select(_ => OpenLater("runs/mine"))];
        foreach (string folder in opened)
            _folders.Close(folder);
        Assert.Equal(opened.TakeLast(AttemptFolders.Kept), Left("runs/mine"));
        Assert.Equal([other], Left("runs/other"));
    }

    [Fact]
    public void A_folder_whose_workers_still_run_is_left_alone()
    {
        string running = OpenLater("runs/mine");
        string[] later = [.. Enumerable.Range(0, AttemptFolders.Kept).Select(_ => OpenLater("runs/mine"))];
        foreach (string folder in later)
            _folders.Close(folder);
        Assert.Equal([running, .. later], Left("runs/mine"));
        _folders.Forget("runs/mine");
        Assert.Equal([running], Left("runs/mine"));
        _folders.Discard(running);
        Assert.False(Directory.Exists(_work["attempts/runs/mine"]));
    }

    public void Dispose() => _work.Dispose();

    private string OpenLater(string owner)
    {
        _time.Advance(TimeSpan.FromMilliseconds(1));
        return _folders.Open(owner);
    }

    private IEnumerable<string> Left(string owner) => Directory.GetDirectories(_work[Path.Combine("attempts", owner)]).Order(StringComparer.Ordinal);
}
