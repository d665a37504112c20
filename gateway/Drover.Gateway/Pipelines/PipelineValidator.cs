using System.Text.RegularExpressions;
using Drover.Errors;
using Drover.Gateway.Pipelines.Steps;
using Drover.Protocol.Gateway.V1;

namespace Drover.Gateway.Pipelines;

/// <summary>Checks a pipeline before anything runs and tells of every problem at once.</summary>
internal static partial class PipelineValidator
{
    private const int MaxNameLength = 60;

    /// <summary>Every problem of a spec, each naming its field; none when it can be run.</summary>
    public static IReadOnlyList<string> Check(PipelineSpec spec)
    {
        var problems = new List<string>();
        CheckName(spec.Name, "name", problems);
        foreach ((string input, string value) in spec.Inputs)
        {
            if (!InputName().IsMatch(input))
                problems.Add($"inputs: '{input}' must be of letters, digits, dash and underscore");
            if (value.Length == 0)
                problems.Add($"inputs.{input} is empty: give an object-store key or prefix");
        }

        if (spec.Steps.Count == 0)
            problems.Add("steps: a pipeline has at least one step");
        var earlier = new Dictionary<string, PipelineStep>(StringComparer.Ordinal);
        for (int i = 0; i < spec.Steps.Count; i++)
        {
            PipelineStep step = spec.Steps[i];
            CheckName(step.Name, $"steps[{i}].name", problems);
            CheckWork(spec, step, i, earlier, problems);
            if (!earlier.TryAdd(step.Name, step))
                problems.Add($"steps[{i}].name: '{step.Name}' is the name of an earlier step");
        }

        return problems;
    }

    /// <summary>Refuses a spec with problems.</summary>
    /// <exception cref="DroverException">InvalidArgument, listing them all.</exception>
    public static void Require(IReadOnlyList<string> problems)
    {
        if (problems.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_PIPELINE", $"The pipeline cannot be run: {string.Join("; ", problems)}.");
    }

    private static void CheckName(string name, string field, List<string> problems)
    {
        if (!PlainName().IsMatch(name) || name.Length > MaxNameLength)
            problems.Add($"{field}: '{name}' must be 1 to {MaxNameLength} lower-case letters, digits and dashes");
    }

    private static void CheckWork(PipelineSpec spec, PipelineStep step, int index, Dictionary<string, PipelineStep> earlier, List<string> problems)
    {
        if (StepKinds.SpecOf(step) is not { } work)
        {
            problems.Add($"steps[{index}]: '{step.Name}' has no work; give it one of {string.Join(", ", StepKinds.Names)}");
            return;
        }

        string prefix = $"steps[{index}].{StepKinds.NameOf(step)}.";
        foreach ((string path, string text) in StepReferences.Strings(work))
        {
            if (StepReferences.IsUnclosed(text))
                problems.Add($"{prefix}{path}: '{text}' has a '${{' without its '}}'");
            foreach (string reference in StepReferences.In(text))
            {
                if (Problem(spec, reference, earlier) is { } problem)
                    problems.Add($"{prefix}{path}: '${{{reference}}}' {problem}");
            }
        }
    }

    private static string? Problem(PipelineSpec spec, string reference, Dictionary<string, PipelineStep> earlier)
    {
        string[] parts = reference.Split('.');
        switch (parts)
        {
            case ["inputs", var input]:
                return spec.Inputs.ContainsKey(input) ? null : $"names no input; there are {Listed(spec.Inputs.Keys)}";
            case ["steps", var name, var output]:
                if (!earlier.TryGetValue(name, out PipelineStep? step))
                    return spec.Steps.Any(s => s.Name == name) ? $"names a step that does not come before this one" : $"names no step; earlier ones are {Listed(earlier.Keys)}";
                IReadOnlyList<string> outputs = StepKinds.OutputsOf(step);
                return outputs.Contains(output) ? null : $"is no output of step '{name}'; its outputs are {Listed(outputs)}";
            default:
                return "must be ${inputs.<name>} or ${steps.<step>.<output>}";
        }
    }

    private static string Listed(IEnumerable<string> names)
    {
        string text = string.Join(", ", names.Order(StringComparer.Ordinal));
        return text.Length > 0 ? text : "none";
    }

    [GeneratedRegex(@"\A[a-z0-9-]+\z")]
    private static partial Regex PlainName();

    [GeneratedRegex(@"\A[A-Za-z0-9_-]+\z")]
    private static partial Regex InputName();
}
