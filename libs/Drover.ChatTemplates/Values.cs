using System.Collections;
using System.Globalization;
using System.Text;

namespace Drover.ChatTemplates;

/// <summary>A name without a value: prints as nothing, and has no members.</summary>
internal sealed record Undefined(string Name);

/// <summary>A tuple: a list that prints in parentheses.</summary>
internal sealed class TupleValue(IEnumerable<object?> items) : List<object?>(items);

/// <summary>A mapping that keeps its order, as Python's dict.</summary>
internal sealed class DictionaryValue : OrderedDictionary<object, object?>;

/// <summary>What namespace() makes: the one thing whose members a template may set.</summary>
internal sealed class NamespaceValue
{
    public Dictionary<string, object?> Members { get; } = new(StringComparer.Ordinal);
}

/// <summary>A function that a template can call.</summary>
internal delegate object? Function(IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named);

/// <summary>Python's rules for values: truth, equality, order and text.</summary>
internal static class Values
{
    public static bool IsTrue(object? value) => value switch
    {
        null or Undefined => false,
        bool b => b,
        long n => n != 0,
        double d => d != 0,
        string s => s.Length > 0,
        ICollection c => c.Count > 0,
        _ => true,
    };

    public static string Text(object? value) => value switch
    {
        string s => s,
        Undefined => "",
        _ => Represent(value),
    };

    /// <summary>Python's repr().</summary>
    public static string Represent(object? value) => value switch
    {
        null => "None",
        bool b => b ? "True" : "False",
        long n => n.ToString(CultureInfo.InvariantCulture),
        double d => Number(d),
        string s => Quoted(s),
        TupleValue { Count: 1 } t => $"({Represent(t[0])},)",
        TupleValue t => $"({string.Join(", ", t.Select(Represent))})",
        List<object?> l => $"[{string.Join(", ", l.Select(Represent))}]",
        DictionaryValue d => $"{{{string.Join(", ", d.Select(p => $"{Represent(p.Key)}: {Represent(p.Value)}"))}}}",
        Undefined => "Undefined",
        NamespaceValue => "<Namespace>",
        _ => "<function>",
    };

    public static string Number(double value)
    {
        if (double.IsNaN(value))
            return "nan";
        if (double.IsInfinity(value))
            return value > 0 ? "inf" : "-inf";
        string text = value.ToString("R", CultureInfo.InvariantCulture);
        double size = Math.Abs(value);
        if (size != 0 && (size >= 1e16 || size < 1e-4))
        {
            text = value.ToString("E16", CultureInfo.InvariantCulture);
            string shortest = value.ToString("R", CultureInfo.InvariantCulture);
            return shortest.Contains('E', StringComparison.Ordinal) ? Exponent(shortest) : text;
        }

        return text.Contains('.', StringComparison.Ordinal) || text.Contains('E', StringComparison.Ordinal) ? text : text + ".0";
    }

    public static bool AreEqual(object? left, object? right) => (left, right) switch
    {
        (null, null) or (Undefined, Undefined) => true,
        (string a, string b) => a == b,
        (List<object?> a, List<object?> b) => a is TupleValue == b is TupleValue && a.Count == b.Count && a.Zip(b).All(p => AreEqual(p.First, p.Second)),
        (DictionaryValue a, DictionaryValue b) => a.Count == b.Count && a.All(p => b.TryGetValue(p.Key, out object? other) && AreEqual(p.Value, other)),
        _ when IsNumber(left) && IsNumber(right) => ToDouble(left) == ToDouble(right),
        _ => ReferenceEquals(left, right),
    };

    public static int Compare(object? left, object? right) => (left, right) switch
    {
        (string a, string b) => string.CompareOrdinal(a, b),
        (List<object?> a, List<object?> b) => a.Zip(b).Select(p => Compare(p.First, p.Second)).Append(a.Count.CompareTo(b.Count)).FirstOrDefault(c => c != 0),
        (long a, long b) => a.CompareTo(b),
        _ when IsNumber(left) && IsNumber(right) => ToDouble(left).CompareTo(ToDouble(right)),
        _ => throw new TemplateException($"{TypeOf(left)} and {TypeOf(right)} have no order"),
    };

    public static bool Contains(object? where, object? what) => where switch
    {
        string s => s.Contains(what as string ?? throw new TemplateException($"a string cannot hold {TypeOf(what)}"), StringComparison.Ordinal),
        List<object?> l => l.Exists(i => AreEqual(i, what)),
        DictionaryValue d => what is not null && d.ContainsKey(what),
        Undefined => false,
        _ => throw new TemplateException($"{TypeOf(where)} holds nothing to look for"),
    };

    public static IEnumerable<object?> Iterate(object? value) => value switch
    {
        List<object?> l => l,
        DictionaryValue d => [.. d.Keys],
        string s => s.EnumerateRunes().Select(r => (object?)r.ToString()),
        Undefined => [],
        _ => throw new TemplateException($"{TypeOf(value)} has no items to go through"),
    };

    public static bool IsNumber(object? value) => value is long or double or bool;

    public static double ToDouble(object? value) => value switch { long n => n, double d => d, bool b => b ? 1 : 0, _ => throw new TemplateException($"{TypeOf(value)} is no number") };

    public static long ToInteger(object? value) => value switch { long n => n, bool b => b ? 1 : 0, _ => throw new TemplateException($"{TypeOf(value)} is no integer") };

    public static string TypeOf(object? value) => value switch
    {
        null => "none",
        Undefined u => $"'{u.Name}', which is not defined,",
        bool => "a truth value",
        long => "an integer",
        double => "a number",
        string => "a string",
        List<object?> => "a list",
        DictionaryValue => "a mapping",
        NamespaceValue => "a namespace",
        _ => "a function",
    };

    private static string Exponent(string text)
    {
        int e = text.IndexOf('E', StringComparison.Ordinal);
        return $"{text[..e].ToLowerInvariant()}e{text[e + 1]}{text[(e + 2)..].PadLeft(2, '0')}";
    }

    private static string Quoted(string text)
    {
        char quote = text.Contains('\'', StringComparison.Ordinal) && !text.Contains('"', StringComparison.Ordinal) ? '"' : '\'';
        var result = new StringBuilder().Append(quote);
        foreach (char c in text)
        {
            result.Append(c switch
            {
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\\' => "\\\\",
                _ when c == quote => "\\" + c,
                < ' ' or '\u007F' => string.Create(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}"),
                _ => c.ToString(),
            });
        }

        return result.Append(quote).ToString();
    }
}
