using System.Text.RegularExpressions;

namespace Drover.Architecture.Tests;

/// <summary>
/// Every tensor that the engine creates says on which device. A tensor on the CPU by default is found on a GPU only, and not by every operator
/// on the meta device that the engine's own tests use.
/// </summary>
public partial class TensorCreationTests
{
    private static readonly string[] Projects = ["Drover.Trainer.Model", "Drover.Trainer.Parallelism", "Drover.Trainer.Engine"];

    [Fact]
    public void Every_tensor_says_where_it_is_created()
    {
        string[] offences = [.. Projects
            .SelectMany(p => Directory.EnumerateFiles(Path.Combine(Repository.Root, "services", "trainer", p), "*.cs", SearchOption.AllDirectories))
            .SelectMany(file => File.ReadLines(file).Select((line, i) => (Where: $"{Path.GetFileName(file)}:{i + 1}", Line: line.Trim())))
            .Where(l => !l.Line.StartsWith("///", StringComparison.Ordinal) && !l.Line.StartsWith("//", StringComparison.Ordinal))
            .Where(l => Creation().IsMatch(l.Line) && !Place().IsMatch(l.Line))
            .Select(l => $"{l.Where}: {l.Line}")];
        Assert.True(offences.Length == 0, string.Join('\n', offences));
    }

    [Theory]
    [InlineData("Tensor a = zeros([count], type);", true)]
    [InlineData("Tensor a = zeros([count], type, x.device);", false)]
    [InlineData("rows, tensor(ids).DetachFromDisposeScope()", true)]
    [InlineData("Tensor made = empty_like(x);", false)]
    [InlineData("Of(tensor);", false)]
    public void The_rule_sees_what_it_should(string line, bool isOffence) => Assert.Equal(isOffence, Creation().IsMatch(line) && !Place().IsMatch(line));

    // Calls of the factories; not methods of tensors, nor the same words in TorchScript.
    [GeneratedRegex(@"(?<![\w.])(zeros|ones|empty|full|tensor|arange|rand|randn|eye|linspace)\((?!\))")]
    private static partial Regex Creation();

    // A device is passed: by name, as an argument, or said to be the CPU.
    [GeneratedRegex(@"device\b|Device\b|\bCPU\b")]
    private static partial Regex Place();
}
