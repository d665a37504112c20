using System.Collections;
using System.Globalization;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using YamlDotNet.RepresentationModel;

namespace Drover.Cli.Pipelines;

/// <summary>
/// Fills protobuf messages from YAML by their descriptors. Keys are the proto's field names (or their camelCase form);
/// enum values may be written short and in lower case ("bf16" for PRECISION_BF16). Every problem is collected with its line.
/// </summary>
internal sealed class YamlMessageReader(List<string> problems)
{
    /// <summary>Fills <paramref name="message"/> from a mapping.</summary>
    /// <param name="node">The mapping.</param>
    /// <param name="message">Filled.</param>
    /// <param name="what">What it is, for messages.</param>
    public void Read(YamlMappingNode node, IMessage message, string what)
    {
        foreach ((YamlNode keyNode, YamlNode value) in node.Children)
        {
            string key = keyNode is YamlScalarNode { Value: { } text } ? text : "";
            FieldDescriptor? field = message.Descriptor.Fields.InDeclarationOrder().FirstOrDefault(f => f.Name == key || f.JsonName == key);
            if (field is null)
            {
                Problem(keyNode, $"unknown key '{key}' in {what}; there are {string.Join(", ", message.Descriptor.Fields.InDeclarationOrder().Select(f => f.Name))}");
                continue;
            }

            if (field.RealContainingOneof?.Accessor.GetCaseFieldDescriptor(message) is { } other)
            {
                Problem(keyNode, $"'{key}' and '{other.Name}' exclude each other in {what}");
                continue;
            }

            ReadField(field, value, message);
        }
    }

    private void ReadField(FieldDescriptor field, YamlNode value, IMessage message)
    {
        if (field.IsMap)
        {
            ReadMap(field, value, (IDictionary)field.Accessor.GetValue(message));
        }
        else if (field.IsRepeated)
        {
            var list = (IList)field.Accessor.GetValue(message);
            // One value may stand for a list of one.
            foreach (YamlNode item in value is YamlSequenceNode sequence ? sequence.Children : [value])
            {
                if (Value(field, item) is { } element)
                    list.Add(element);
            }
        }
        else if (Value(field, value) is { } single)
        {
            field.Accessor.SetValue(message, single);
        }
    }

    private void ReadMap(FieldDescriptor field, YamlNode value, IDictionary map)
    {
        if (value is not YamlMappingNode entries)
        {
            Problem(value, $"'{field.Name}' must be keys with values");
            return;
        }

        FieldDescriptor valueField = field.MessageType.FindFieldByNumber(2);
        foreach ((YamlNode key, YamlNode item) in entries.Children)
        {
            if (key is not YamlScalarNode { Value: { } name })
                Problem(key, $"a key of '{field.Name}' must be plain text");
            else if (Value(valueField, item, $"{field.Name}.{name}") is { } element)
                map[name] = element;
        }
    }

    private object? Value(FieldDescriptor field, YamlNode node, string? shown = null)
    {
        string name = shown ?? field.Name;
        if (field.FieldType == FieldType.Message)
        {
            if (node is not YamlMappingNode mapping)
                return Problem(node, $"'{name}' must be keys with values");
            var inner = (IMessage)Activator.CreateInstance(field.MessageType.ClrType)!;
            Read(mapping, inner, $"'{name}'");
            return inner;
        }

        if (node is not YamlScalarNode { Value: { } text })
            return Problem(node, $"'{name}' must be a single value");
        return field.FieldType == FieldType.Enum ? EnumValue(field.EnumType, name, text, node) : Scalar(field.FieldType, name, text, node);
    }

    private object? Scalar(FieldType type, string name, string text, YamlNode node)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        switch (type)
        {
            case FieldType.String:
                return text;
            case FieldType.Bool:
                return text is "true" or "false" ? text == "true" : Problem(node, $"'{name}' must be true or false, not '{text}'");
            case FieldType.Int32:
                return int.TryParse(text.Replace("_", "", StringComparison.Ordinal), NumberStyles.AllowLeadingSign, culture, out int small) ? small : Problem(node, $"'{name}' must be a whole number, not '{text}'");
            case FieldType.Int64:
                return long.TryParse(text.Replace("_", "", StringComparison.Ordinal), NumberStyles.AllowLeadingSign, culture, out long large) ? large : Problem(node, $"'{name}' must be a whole number, not '{text}'");
            case FieldType.Double:
                return double.TryParse(text, NumberStyles.Float, culture, out double real) && double.IsFinite(real) ? real : Problem(node, $"'{name}' must be a number, not '{text}'");
            default:
                return Problem(node, $"'{name}' cannot be written in YAML");
        }
    }

    private object? EnumValue(EnumDescriptor type, string name, string text, YamlNode node)
    {
        // Values are named <TYPE>_<VALUE>; the first is <TYPE>_UNSPECIFIED and tells the prefix.
        string prefix = type.Values[0].Name[..^"UNSPECIFIED".Length];
        EnumValueDescriptor? value = type.Values.FirstOrDefault(v => v.Number != 0 && (v.Name == text || v.Name == prefix + text.ToUpperInvariant().Replace('-', '_')));
        if (value is not null)
            return Enum.ToObject(type.ClrType, value.Number);
        string known = string.Join(", ", type.Values.Where(v => v.Number != 0).Select(v => v.Name[prefix.Length..].ToLowerInvariant()));
        return Problem(node, $"'{name}' is '{text}'; it may be {known}");
    }

    private object? Problem(YamlNode node, string problem)
    {
        problems.Add($"line {node.Start.Line}: {problem}");
        return null;
    }
}
