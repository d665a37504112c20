using System.Globalization;

namespace Drover.Trainer;

/// <summary>
/// The folders in which starts of workers keep their spec, events and logs, one each. What ended well at its first start leaves nothing behind; of what
/// did not, the newest few of each run (or of all evaluations, of all texts) stay for people to look at.
/// </summary>
internal sealed class AttemptFolders(WorkFolder work, TimeProvider time)
{
    /// <summary>Owner of the folders of all evaluations.</summary>
    public const string Evaluations = "evaluations";

    /// <summary>Owner of the folders of all questions for GPUs.</summary>
    public const string Devices = "devices";

    /// <summary>Owner of the folders of all measurements for plans.</summary>
    public const string Calibrations = "calibrations";

    /// <summary>Owner of the folders of all generated texts.</summary>
    public const string Texts = "texts";

    /// <summary>Folders of an owner that stay.</summary>
    public const int Kept = 3;

    private readonly Lock _gate = new();
    private readonly HashSet<string> _open = new(StringComparer.Ordinal);

    /// <summary>Owner of the folders of a run.</summary>
    public static string OfRun(string name) => Path.Combine("runs", name);

    /// <summary>A new folder for one start of workers; nobody deletes it until it is closed.</summary>
    public string Open(string owner)
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"{time.GetUtcNow():yyyyMMdd-HHmmss-fff}-{Guid.NewGuid().ToString("N")[..6]}");
        string folder = Path.Combine(PathOf(owner), name);
        lock (_gate)
        {
            _open.Add(folder);
            Directory.CreateDirectory(folder);
        }

        return folder;
    }

    /// <summary>The workers of a folder are gone: it stays, and older ones than the newest few of its owner go.</summary>
    public void Close(string folder)
    {
        lock (_gate)
        {
            _open.Remove(folder);
            foreach (string old in Closed(Path.GetDirectoryName(folder)!).OrderDescending(StringComparer.Ordinal).Skip(Kept))
                Delete(old);
        }
    }

    /// <summary>What an owner did ended well: its closed folders go.</summary>
    public void Forget(string owner)
    {
        lock (_gate)
        {
            foreach (string folder in Closed(PathOf(owner)))
                Delete(folder);
            DeleteIfEmpty(PathOf(owner));
        }
    }

    /// <summary>The workers of a folder are gone and ended well: it goes.</summary>
    public void Discard(string folder)
    {
        lock (_gate)
        {
            _open.Remove(folder);
            Delete(folder);
            DeleteIfEmpty(Path.GetDirectoryName(folder)!);
        }
    }

    private string PathOf(string owner) => Path.Combine(work.Path, "attempts", owner);

    private IEnumerable<string> Closed(string parent) =>
        Directory.Exists(parent) ? Directory.GetDirectories(parent).Where(folder => !_open.Contains(folder)) : [];

    private static void DeleteIfEmpty(string folder)
    {
        if (Directory.Exists(folder) && !Directory.EnumerateFileSystemEntries(folder).Any())
            Delete(folder);
    }

    private static void Delete(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Only disk space: the work itself is not to fail for it.
        }
    }
}
