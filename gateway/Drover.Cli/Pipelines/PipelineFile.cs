using Drover.Errors;
using Drover.Protocol.Gateway.V1;

namespace Drover.Cli.Pipelines;

/// <summary>Pipelines as YAML files: the same fields as <see cref="PipelineSpec"/>, strictly.</summary>
internal static class PipelineFile
{
    private const string What = "the pipeline";

    /// <summary>Reads a file.</summary>
    /// <exception cref="DroverException">NotFound; InvalidArgument, naming the line and key of every problem.</exception>
    public static PipelineSpec Read(string path) => YamlFile.Read<PipelineSpec>(path, What);

    /// <summary>Reads text.</summary>
    public static PipelineSpec Parse(string text, string shownPath) => YamlFile.Parse<PipelineSpec>(text, shownPath, What);
}
