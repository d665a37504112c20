using System.Buffers;

namespace Drover.ChatTemplates;

/// <summary>Methods of Python's strings, lists and dicts that change nothing.</summary>
internal static class Methods
{
    private static readonly SearchValues<char> Spaces = SearchValues.Create(" \t\n\r\f\v\u0085\u00A0\u3000");

    /// <summary>A method as a function, null when there is none of the name.</summary>
    public static Function? Of(object? value, string name) => value switch
    {
        string text => OfText(text, name),
        List<object?> list => OfList(list, name),
        DictionaryValue dictionary => OfDictionary(dictionary, name),
        _ => null,
    };

    private static Function? OfText(string text, string name) => name switch
    {
        "strip" => (a, _) => Strip(text, a, true, true),
        "lstrip" => (a, _) => Strip(text, a, true, false),
        "rstrip" => (a, _) => Strip(text, a, false, true),
        "split" => (a, n) => Split(text, Given(a, n, 0, "sep"), Given(a, n, 1, "maxsplit")),
        "rsplit" => (a, n) => SplitFromEnd(text, Given(a, n, 0, "sep"), Given(a, n, 1, "maxsplit")),
        "splitlines" => (_, _) => new List<object?>(text.Length == 0 ? [] : (text.EndsWith('\n') ? text[..^1] : text).Split('\n')),
        "startswith" => (a, _) => Any(a[0], p => text.StartsWith(p, StringComparison.Ordinal)),
        "endswith" => (a, _) => Any(a[0], p => text.EndsWith(p, StringComparison.Ordinal)),
        "removeprefix" => (a, _) => text.StartsWith((string)a[0]!, StringComparison.Ordinal) ? text[((string)a[0]!).Length..] : text,
        "removesuffix" => (a, _) => text.EndsWith((string)a[0]!, StringComparison.Ordinal) ? text[..^((string)a[0]!).Length] : text,
        "replace" => (a, _) => Filters.Replace(text, (string)a[0]!, (string)a[1]!, a.Count > 2 ? Values.ToInteger(a[2]) : -1),
        "upper" => (_, _) => text.ToUpperInvariant(),
        "lower" => (_, _) => text.ToLowerInvariant(),
        "title" => (_, _) => Filters.Title(text),
        "capitalize" => (_, _) => Filters.Capitalize(text),
        "find" => (a, _) => (long)text.IndexOf((string)a[0]!, a.Count > 1 ? (int)Math.Min(Values.ToInteger(a[1]), text.Length) : 0, StringComparison.Ordinal),
        "rfind" => (a, _) => (long)text.LastIndexOf((string)a[0]!, StringComparison.Ordinal),
        "index" => (a, _) => text.IndexOf((string)a[0]!, StringComparison.Ordinal) is var at and >= 0 ? (long)at : throw new TemplateException("the substring is not there"),
        "count" => (a, _) => (long)text.AsSpan().Count((string)a[0]!),
        "join" => (a, _) => string.Join(text, Values.Iterate(a[0]).Select(i => i as string ?? throw new TemplateException($"{Values.TypeOf(i)} cannot be joined"))),
        "isdigit" or "isnumeric" or "isdecimal" => (_, _) => text.Length > 0 && text.All(char.IsDigit),
        "isalpha" => (_, _) => text.Length > 0 && text.All(char.IsLetter),
        "isalnum" => (_, _) => text.Length > 0 && text.All(char.IsLetterOrDigit),
        "isspace" => (_, _) => text.Length > 0 && text.All(char.IsWhiteSpace),
        "isupper" => (_, _) => Predicates.Run("upper", text, []),
        "islower" => (_, _) => Predicates.Run("lower", text, []),
        "zfill" => (a, _) => text.PadLeft((int)Values.ToInteger(a[0]), '0'),
        _ => null,
    };

    private static Function? OfList(List<object?> list, string name) => name switch
    {
        "index" => (a, _) => list.FindIndex(i => Values.AreEqual(i, a[0])) is var at and >= 0 ? (long)at : throw new TemplateException("the item is not in the list"),
        "count" => (a, _) => (long)list.Count(i => Values.AreEqual(i, a[0])),
        "copy" => (_, _) => new List<object?>(list),
        "append" or "extend" or "insert" or "pop" or "remove" or "clear" or "sort" or "reverse" => (_, _) => throw new TemplateException($"'{name}' would change a list, which templates may not"),
        _ => null,
    };

    private static Function? OfDictionary(DictionaryValue dictionary, string name) => name switch
    {
        "items" => (_, _) => new List<object?>(dictionary.Select(p => new TupleValue([p.Key, p.Value]))),
        "keys" => (_, _) => new List<object?>(dictionary.Keys),
        "values" => (_, _) => new List<object?>(dictionary.Values),
        "get" => (a, n) => a[0] is { } key && dictionary.TryGetValue(key, out object? value) ? value : Given(a, n, 1, "default"),
        "copy" => (_, _) => dictionary,
        "update" or "pop" or "clear" or "setdefault" or "popitem" => (_, _) => throw new TemplateException($"'{name}' would change a mapping, which templates may not"),
        _ => null,
    };

    private static object? Given(IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named, int at, string name) =>
        at < arguments.Count ? arguments[at] : named.GetValueOrDefault(name);

    private static bool Any(object? prefixes, Func<string, bool> fits) =>
        prefixes is string one ? fits(one) : Values.Iterate(prefixes).Any(p => p is string text && fits(text));

    internal static string Strip(string text, IReadOnlyList<object?> arguments, bool start, bool end)
    {
        char[]? characters = arguments.Count > 0 && arguments[0] is string given ? given.ToCharArray() : null;
        if (start)
            text = characters is null ? text.TrimStart() : text.TrimStart(characters);
        if (end)
            text = characters is null ? text.TrimEnd() : text.TrimEnd(characters);
        return text;
    }

    private static List<object?> Split(string text, object? separator, object? most)
    {
        int count = most is null || Values.ToInteger(most) < 0 ? int.MaxValue : (int)Values.ToInteger(most) + 1;
        if (separator is string { Length: > 0 } given)
            return [.. text.Split(given, count)];
        var parts = new List<object?>();
        string rest = text.TrimStart();
        while (rest.Length > 0)
        {
            int end = parts.Count + 1 == count ? -1 : rest.AsSpan().IndexOfAny(Spaces);
            parts.Add(end < 0 ? rest : rest[..end]);
            rest = end < 0 ? "" : rest[end..].TrimStart();
        }

        return parts;
    }

    private static List<object?> SplitFromEnd(string text, object? separator, object? most)
    {
        if (separator is not string { Length: > 0 } given || most is null)
            return Split(text, separator, most);
        var parts = new List<object?>();
        for (long left = Values.ToInteger(most); left > 0 && text.LastIndexOf(given, StringComparison.Ordinal) is var at and >= 0; left--)
        {
            parts.Insert(0, text[(at + given.Length)..]);
            text = text[..at];
        }

        parts.Insert(0, text);
        return parts;
    }
}
