namespace Drover.Trainer;

/// <summary>
/// Whether ranks of this machine may read each other's memory (cross-memory attach), so that Open MPI copies once and not twice: on two
/// cores a step of DDP takes 3 % less (benchmarks/results). Where a security filter or Yama forbids it, Open MPI finds out in the middle of
/// a run and ends it; so it is used only where nothing can forbid it.
/// </summary>
internal static class SingleCopy
{
    /// <summary>Whether nothing on this machine forbids it.</summary>
    /// <param name="processFolder">"/proc".</param>
    public static bool IsAllowed(string processFolder)
    {
        string status = Path.Combine(processFolder, "self", "status"), scope = Path.Combine(processFolder, "sys", "kernel", "yama", "ptrace_scope");
        return File.Exists(status)
            && File.ReadLines(status).Any(l => l.StartsWith("Seccomp:", StringComparison.Ordinal) && l.AsSpan("Seccomp:".Length).Trim() is "0")
            && (!File.Exists(scope) || File.ReadAllText(scope).Trim() == "0");
    }
}
