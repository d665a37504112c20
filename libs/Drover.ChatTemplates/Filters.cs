using System.Globalization;
using System.Text;

namespace Drover.ChatTemplates;

/// <summary>What stands behind <c>|</c>.</summary>
internal static class Filters
{
    public static object? Run(string name, object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named)
    {
        object? Given(int at, string key, object? fallback = null) => at < arguments.Count ? arguments[at] : named.TryGetValue(key, out object? given) ? given : fallback;
        switch (name)
        {
            case "trim":
                return Methods.Strip(Values.Text(value), arguments, true, true);
            case "tojson":
                return JsonText.Of(value, Given(0, "indent"), Given(1, "ensure_ascii", false), Given(2, "separators"), Given(3, "sort_keys", false));
            case "length" or "count":
                return value is string text ? text.EnumerateRunes().Count() : (long)Values.Iterate(value).Count();
            case "join":
                IEnumerable<object?> items = Values.Iterate(value);
                if (Given(1, "attribute") is string attribute)
                    items = items.Select(i => Path(i, attribute));
                return string.Join(Values.Text(Given(0, "d", "")), items.Select(Values.Text));
            case "default" or "d":
                return value is Undefined || (Values.IsTrue(Given(1, "boolean", false)) && !Values.IsTrue(value)) ? Given(0, "default_value", "") : value;
            case "first":
                return Values.Iterate(value).FirstOrDefault(new Undefined("first"));
            case "last":
                return Values.Iterate(value).LastOrDefault(new Undefined("last"));
            case "upper":
                return Values.Text(value).ToUpperInvariant();
            case "lower":
                return Values.Text(value).ToLowerInvariant();
            case "capitalize":
                return Capitalize(Values.Text(value));
            case "title":
                return Title(Values.Text(value));
            case "replace":
                return Replace(Values.Text(value), Values.Text(arguments[0]), Values.Text(arguments[1]), Given(2, "count") is { } count ? Values.ToInteger(count) : -1);
            case "string":
                return Values.Text(value);
            case "safe" or "escape" or "e" or "forceescape":
                return name == "safe" ? value : Escape(Values.Text(value));
            case "int":
                return Integer(value, Given(0, "default", 0L));
            case "float":
                return value is string s ? (double.TryParse(s, CultureInfo.InvariantCulture, out double number) ? number : Given(0, "default", 0.0)) : Values.ToDouble(value);
            case "abs":
                return value is long n ? (object)Math.Abs(n) : Math.Abs(Values.ToDouble(value));
            case "round":
                return Round(Values.ToDouble(value), Values.ToInteger(Given(0, "precision", 0L)), Given(1, "method", "common"));
            case "list":
                return new List<object?>(Values.Iterate(value));
            case "items":
                return value is Undefined ? new List<object?>() : Methods.Of(value as DictionaryValue ?? throw new TemplateException($"{Values.TypeOf(value)} has no items"), "items")!([], named);
            case "reverse":
                return value is string reversed ? string.Concat(reversed.Reverse()) : new List<object?>(Values.Iterate(value).Reverse());
            case "indent":
                return Indent(Values.Text(value), Given(0, "width", 4L), Values.IsTrue(Given(1, "first", false)), Values.IsTrue(Given(2, "blank", false)));
            case "wordcount":
                return (long)Values.Text(value).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length;
            default:
                return OnLists(name, value, arguments, named, Given);
        }
    }

    internal static string Replace(string text, string old, string with, long count)
    {
        if (old.Length == 0)
            return text;
        var result = new StringBuilder();
        for (; count != 0 && text.IndexOf(old, StringComparison.Ordinal) is var at and >= 0; count--)
        {
            result.Append(text, 0, at).Append(with);
            text = text[(at + old.Length)..];
        }

        return result.Append(text).ToString();
    }

    internal static string Capitalize(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    internal static string Title(string text)
    {
        var result = new StringBuilder(text.Length);
        bool inside = false;
        foreach (char c in text)
        {
            result.Append(inside ? char.ToLowerInvariant(c) : char.ToUpperInvariant(c));
            inside = char.IsLetter(c) || (inside && c == '\'');
        }

        return result.ToString();
    }

    private static object? OnLists(string name, object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named, Func<int, string, object?, object?> given)
    {
        IEnumerable<object?> items = Values.Iterate(value);
        switch (name)
        {
            case "map":
                if (named.TryGetValue("attribute", out object? attribute))
                    return new List<object?>(items.Select(i => Path(i, Values.Text(attribute)) is Undefined u ? named.GetValueOrDefault("default", u) : Path(i, Values.Text(attribute))));
                string filter = Values.Text(arguments[0]);
                return new List<object?>(items.Select(i => Run(filter, i, [.. arguments.Skip(1)], named)));
            case "select" or "reject":
                return new List<object?>(items.Where(i => (arguments.Count == 0 ? Values.IsTrue(i) : Predicates.Run(Values.Text(arguments[0]), i, [.. arguments.Skip(1)])) == (name == "select")));
            case "selectattr" or "rejectattr":
                string path = Values.Text(arguments[0]);
                return new List<object?>(items.Where(i => (arguments.Count == 1 ? Values.IsTrue(Path(i, path)) : Predicates.Run(Values.Text(arguments[1]), Path(i, path), [.. arguments.Skip(2)])) == (name == "selectattr")));
            case "sum":
                IEnumerable<object?> summed = named.TryGetValue("attribute", out object? of) ? items.Select(i => Path(i, Values.Text(of))) : items;
                return summed.Aggregate(given(1, "start", 0L), (a, b) => Arithmetic.Run("+", a, b));
            case "min":
                return items.Aggregate((a, b) => Values.Compare(a, b) <= 0 ? a : b);
            case "max":
                return items.Aggregate((a, b) => Values.Compare(a, b) >= 0 ? a : b);
            case "unique":
                return new List<object?>(items.Aggregate(new List<object?>(), (seen, i) =>
                {
                    if (!seen.Exists(s => Values.AreEqual(s, i)))
                        seen.Add(i);
                    return seen;
                }));
            case "sort":
                return Sorted(items, Values.IsTrue(given(0, "reverse", false)), Values.IsTrue(given(1, "case_sensitive", false)), given(2, "attribute", null) as string);
            case "dictsort":
                IEnumerable<object?> pairs = ((DictionaryValue)value!).Select(p => new TupleValue([p.Key, p.Value]));
                return Sorted(pairs, Values.IsTrue(given(2, "reverse", false)), Values.IsTrue(given(0, "case_sensitive", false)), Values.Text(given(1, "by", "key")) == "value" ? "1" : "0");
            case "batch":
                return new List<object?>(items.Chunk((int)Values.ToInteger(arguments[0])).Select(c => new List<object?>(c)));
            default:
                throw new TemplateException($"the filter '{name}' is not known");
        }
    }

    private static List<object?> Sorted(IEnumerable<object?> items, bool reverse, bool caseSensitive, string? attribute)
    {
        object? Key(object? item)
        {
            object? key = attribute is null ? item : Path(item, attribute);
            return key is string text && !caseSensitive ? text.ToLowerInvariant() : key;
        }

        var order = Comparer<object?>.Create(Values.Compare);
        return [.. reverse ? items.OrderByDescending(Key, order) : items.OrderBy(Key, order)];
    }

    /// <summary>A member by a dotted path.</summary>
    private static object? Path(object? item, string path)
    {
        foreach (string part in path.Split('.'))
        {
            item = item switch
            {
                DictionaryValue dictionary => dictionary.TryGetValue(part, out object? value) ? value : new Undefined(part),
                List<object?> list when int.TryParse(part, CultureInfo.InvariantCulture, out int at) => at < list.Count ? list[at] : new Undefined(part),
                NamespaceValue space => space.Members.TryGetValue(part, out object? value) ? value : new Undefined(part),
                _ => new Undefined(part),
            };
        }

        return item;
    }

    private static object? Integer(object? value, object? fallback) => value switch
    {
        string text => long.TryParse(text.Trim(), CultureInfo.InvariantCulture, out long number) ? number
            : double.TryParse(text, CultureInfo.InvariantCulture, out double real) ? (long)real : fallback,
        double d => (long)d,
        long or bool => Values.ToInteger(value),
        _ => fallback,
    };

    private static double Round(double value, long precision, object? method)
    {
        double scale = Math.Pow(10, precision);
        return (method as string) switch
        {
            "ceil" => Math.Ceiling(value * scale) / scale,
            "floor" => Math.Floor(value * scale) / scale,
            _ => precision is >= 0 and <= 15 ? Math.Round(value, (int)precision, MidpointRounding.ToEven) : Math.Round(value * scale) / scale,
        };
    }

    private static string Indent(string text, object? width, bool first, bool blank)
    {
        string by = width as string ?? new string(' ', (int)Values.ToInteger(width));
        string[] lines = text.Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            if ((i > 0 || first) && (blank || lines[i].Length > 0 || i == 0))
                lines[i] = by + lines[i];
        }

        return string.Join('\n', lines);
    }

    private static string Escape(string text) =>
        text.Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal).Replace("'", "&#39;", StringComparison.Ordinal);
}
