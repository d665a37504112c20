using Drover.Errors;
using Google.Protobuf;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Drover.Cli.Pipelines;

/// <summary>A message of the protos, written as a YAML file.</summary>
internal static class YamlFile
{
    /// <summary>Reads a file.</summary>
    /// <exception cref="DroverException">NotFound, or as <see cref="Parse"/>.</exception>
    public static T Read<T>(string path, string what)
        where T : IMessage, new() => File.Exists(path)
            ? Parse<T>(File.ReadAllText(path), path, what)
            : throw new DroverException(FailureCode.NotFound, "FILE_NOT_FOUND", $"There is no file '{path}' of {what}.");

    /// <summary>Reads text.</summary>
    /// <param name="text">One YAML document.</param>
    /// <param name="shownPath">For messages.</param>
    /// <param name="what">What it describes, for messages: "the pipeline".</param>
    /// <exception cref="DroverException">InvalidArgument, with every problem and its line.</exception>
    public static T Parse<T>(string text, string shownPath, string what)
        where T : IMessage, new()
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

        var message = new T();
        if (yaml.Documents is not [{ RootNode: YamlMappingNode root }])
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_YAML", $"{shownPath} must be one YAML document of keys: {string.Join(", ", message.Descriptor.Fields.InDeclarationOrder().Select(f => f.Name))}.");
        var problems = new List<string>();
        new YamlMessageReader(problems).Read(root, message, what);
        return problems.Count == 0
            ? message
            : throw new DroverException(FailureCode.InvalidArgument, $"INVALID_{what.Split(' ')[^1].ToUpperInvariant()}_FILE", $"{shownPath}: {string.Join("; ", problems)}.");
    }
}
