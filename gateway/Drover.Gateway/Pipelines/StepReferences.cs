using System.Collections;
using System.Text.RegularExpressions;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Drover.Gateway.Pipelines;

/// <summary>Finds and replaces <c>${...}</c> in the string fields of a spec, at any depth.</summary>
internal static partial class StepReferences
{
    /// <summary>Every string of a message with the path of its field, e.g. "sources[0]".</summary>
    public static IEnumerable<(string Path, string Text)> Strings(IMessage message)
    {
        var found = new List<(string, string)>();
        Visit(message, "", (path, text) =>
        {
            found.Add((path, text));
            return text;
        });
        return found;
    }

    /// <summary>Replaces every reference of a message in place.</summary>
    /// <param name="message">Changed.</param>
    /// <param name="valueOf">The value of what stands between <c>${</c> and <c>}</c>.</param>
    public static void Resolve(IMessage message, Func<string, string> valueOf) =>
        Visit(message, "", (_, text) => Reference().Replace(text, match => valueOf(match.Groups[1].Value)));

    /// <summary>What stands between <c>${</c> and <c>}</c>, in order.</summary>
    public static IEnumerable<string> In(string text) => Reference().Matches(text).Select(match => match.Groups[1].Value);

    /// <summary>Whether a <c>${</c> has no end.</summary>
    public static bool IsUnclosed(string text) => Reference().Replace(text, "").Contains("${", StringComparison.Ordinal);

    [GeneratedRegex(@"\$\{([^{}]*)\}")]
    private static partial Regex Reference();

    private static void Visit(IMessage message, string path, Func<string, string, string> change)
    {
        foreach (FieldDescriptor field in message.Descriptor.Fields.InDeclarationOrder())
        {
            if (field.HasPresence && !field.Accessor.HasValue(message))
                continue;
            object value = field.Accessor.GetValue(message);
            string name = path + field.Name;
            switch (value)
            {
                case string text:
                    string changed = change(name, text);
                    if (changed != text)
                        field.Accessor.SetValue(message, changed);
                    break;
                case IMessage inner:
                    Visit(inner, name + ".", change);
                    break;
                case IList list when field.IsRepeated:
                    VisitList(list, name, change);
                    break;
                default:
                    break;
            }
        }
    }

    private static void VisitList(IList list, string name, Func<string, string, string> change)
    {
        for (int i = 0; i < list.Count; i++)
        {
            if (list[i] is string text)
                list[i] = change($"{name}[{i}]", text);
            else if (list[i] is IMessage inner)
                Visit(inner, $"{name}[{i}].", change);
        }
    }
}
