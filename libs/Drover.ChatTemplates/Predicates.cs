namespace Drover.ChatTemplates;

/// <summary>What stands behind <c>is</c>.</summary>
internal static class Predicates
{
    public static bool Run(string name, object? value, IReadOnlyList<object?> arguments)
    {
        object? other = arguments.Count > 0 ? arguments[0] : null;
        return name switch
        {
            "defined" => value is not Undefined,
            "undefined" => value is Undefined,
            "none" => value is null,
            "string" => value is string,
            "boolean" => value is bool,
            "true" => value is true,
            "false" => value is false,
            "integer" => value is long,
            "float" => value is double,
            "number" => Values.IsNumber(value),
            "mapping" => value is DictionaryValue,
            "sequence" or "iterable" => value is string or List<object?> or DictionaryValue,
            "callable" => value is Function,
            "odd" => (Values.ToInteger(value) & 1) != 0,
            "even" => (Values.ToInteger(value) & 1) == 0,
            "divisibleby" => Values.ToInteger(value) % Values.ToInteger(other) == 0,
            "eq" or "equalto" or "==" => Values.AreEqual(value, other),
            "ne" or "!=" => !Values.AreEqual(value, other),
            "lt" or "lessthan" => Values.Compare(value, other) < 0,
            "le" => Values.Compare(value, other) <= 0,
            "gt" or "greaterthan" => Values.Compare(value, other) > 0,
            "ge" => Values.Compare(value, other) >= 0,
            "in" => Values.Contains(other, value),
            "sameas" => ReferenceEquals(value, other) || (value is bool or null && Equals(value, other)),
            "lower" => value is string s && s.Any(char.IsLower) && !s.Any(char.IsUpper),
            "upper" => value is string s && s.Any(char.IsUpper) && !s.Any(char.IsLower),
            _ => throw new TemplateException($"the test '{name}' is not known"),
        };
    }
}
