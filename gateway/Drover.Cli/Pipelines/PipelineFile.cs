using Drover.Errors;
using Drover.Protocol.Gateway.V1;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Drover.Cli.Pipelines;

/// <summary>Pipelines as YAML files: the same fields as <see cref="PipelineSpec"/>, strictly.</summary>
internal static class PipelineFile
{
    /// <summary>Reads a file.</summary>
    /// <exception cref="DroverException">NotFound; InvalidArgument, naming the line and key of every problem.</exception>
    public static PipelineSpec Read(string path)
    {
        if (!File.Exists(path))
            throw new DroverException(FailureCode.NotFound, "FILE_NOT_FOUND", $"There is no pipeline file '{path}'.");
        return Parse(File.ReadAllText(path), path);
    }

    /// <summary>Reads text.</summary>
    public static PipelineSpec Parse(string text, string shownPath)
    {
        var yaml = new YamlStream();
        try
        {
            yaml.Load(new StringReader(text));
        }
        catch (YamlException e)
        {
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_YAML", $"{shownPath}, line {e.Start.Line}: {e.InnerException?.Message ?? e.Message}", e);
        }

        if (yaml.Documents is not [{ RootNode: YamlMappingNode root }])
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_YAML", $"{shownPath} must be one YAML document of keys: name, inputs, steps.");
        var spec = new PipelineSpec();
        var problems = new List<string>();
        new YamlMessageReader(problems).Read(root, spec, "the pipeline");
        return problems.Count == 0
            ? spec
            : throw new DroverException(FailureCode.InvalidArgument, "INVALID_PIPELINE_FILE", $"{shownPath}: {string.Join("; ", problems)}.");
    }
}
