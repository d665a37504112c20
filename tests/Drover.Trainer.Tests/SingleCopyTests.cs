using Drover.Testing;

namespace Drover.Trainer.Tests;

public sealed class SingleCopyTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("Seccomp:\t0\n", null, true)]
    [InlineData("Seccomp:\t0\n", "0\n", true)]
    [InlineData("Seccomp:\t0\n", "1\n", false)]
    [InlineData("Seccomp:\t2\n", null, false)]
    [InlineData("Name:\tx\n", null, false)]
    public void Ranks_read_each_others_memory_only_where_nothing_can_forbid_it(string status, string? scope, bool allowed)
    {
        Write("self/status", status);
        if (scope is not null)
            Write("sys/kernel/yama/ptrace_scope", scope);
        Assert.Equal(allowed, SingleCopy.IsAllowed(_folder.Path));
    }

    public void Dispose() => _folder.Dispose();

    private void Write(string name, string text)
    {
        string path = Path.Combine(_folder.Path, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }
}
