using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Drover.ChatTemplates;

/// <summary>JSON as Python's json.dumps writes it, which is what the filter tojson does in transformers; and JSON read into values.</summary>
internal static class JsonText
{
    public static string Of(object? value, object? indent, object? ascii, object? separators, object? sortKeys)
    {
        string? step = indent switch { null => null, string s => s, _ => new string(' ', (int)Values.ToInteger(indent)) };
        (string item, string key) = separators is List<object?> { Count: 2 } given ? (Values.Text(given[0]), Values.Text(given[1])) : (step is null ? ", " : ",", ": ");
        var writer = new Writer(step, item, key, Values.IsTrue(ascii), Values.IsTrue(sortKeys));
        writer.Write(value, "\n");
        return writer.ToString();
    }

    public static object? Read(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => ReadObject(element),
        JsonValueKind.Array => new List<object?>(element.EnumerateArray().Select(Read)),
        JsonValueKind.String => element.GetString(),
        JsonValueKind.Number => element.TryGetInt64(out long number) && !element.GetRawText().AsSpan().ContainsAny(".eE") ? number : (object)element.GetDouble(),
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => null,
    };

    private static DictionaryValue ReadObject(JsonElement element)
    {
        var value = new DictionaryValue();
        foreach (JsonProperty property in element.EnumerateObject())
            value[property.Name] = Read(property.Value);
        return value;
    }

    private sealed class Writer(string? step, string itemSeparator, string keySeparator, bool ascii, bool sortKeys)
    {
        private readonly StringBuilder _text = new();

        public override string ToString() => _text.ToString();

        public void Write(object? value, string line)
        {
            switch (value)
            {
                case DictionaryValue dictionary:
                    IEnumerable<KeyValuePair<object, object?>> pairs = sortKeys ? dictionary.OrderBy(p => Values.Text(p.Key), StringComparer.Ordinal) : dictionary;
                    WriteAll('{', '}', [.. pairs], line, (pair, inner) =>
                    {
                        WriteText(pair.Key is string name ? name : Scalar(pair.Key));
                        _text.Append(keySeparator);
                        Write(pair.Value, inner);
                    });
                    break;
                case List<object?> list:
                    WriteAll('[', ']', list, line, Write);
                    break;
                case string text:
                    WriteText(text);
                    break;
                default:
                    _text.Append(Scalar(value));
                    break;
            }
        }

        private static string Scalar(object? value) => value switch
        {
            null => "null",
            true => "true",
            false => "false",
            long n => n.ToString(CultureInfo.InvariantCulture),
            double.NaN => "NaN",
            double.PositiveInfinity => "Infinity",
            double.NegativeInfinity => "-Infinity",
            double d => Values.Number(d),
            _ => throw new TemplateException($"{Values.TypeOf(value)} cannot be written as JSON"),
        };

        private void WriteAll<T>(char open, char close, List<T> items, string line, Action<T, string> write)
        {
            string inner = line + step;
            _text.Append(open);
            for (int i = 0; i < items.Count; i++)
            {
                if (i > 0)
                    _text.Append(itemSeparator);
                if (step is not null)
                    _text.Append(inner);
                write(items[i], inner);
            }

            if (step is not null && items.Count > 0)
                _text.Append(line);
            _text.Append(close);
        }

        private void WriteText(string text)
        {
            _text.Append('"');
            foreach (char c in text)
            {
                _text.Append(c switch
                {
                    '"' => "\\\"",
                    '\\' => "\\\\",
                    '\n' => "\\n",
                    '\r' => "\\r",
                    '\t' => "\\t",
                    '\b' => "\\b",
                    '\f' => "\\f",
                    _ when c < ' ' || (ascii && c > '~') => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                    _ => c.ToString(),
                });
            }

            _text.Append('"');
        }
    }
}
