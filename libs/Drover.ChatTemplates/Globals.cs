using System.Globalization;
using System.Text;

namespace Drover.ChatTemplates;

/// <summary>Functions that transformers and Jinja2 give every template.</summary>
internal static class Globals
{
    private const int MaxRange = 100_000;

    public static void Add(Scope scope, TimeProvider time)
    {
        scope.Set("range", (Function)((arguments, _) => Range([.. arguments.Select(Values.ToInteger)])));
        scope.Set("dict", (Function)((_, named) => Dictionary(named)));
        scope.Set("namespace", (Function)((arguments, named) => Namespace(arguments, named)));
        scope.Set("raise_exception", (Function)((arguments, _) => throw new TemplateRefusal(Values.Text(arguments[0]))));
        scope.Set("strftime_now", (Function)((arguments, _) => Format(time.GetLocalNow(), Values.Text(arguments[0]))));
    }

    private static List<object?> Range(long[] bounds)
    {
        (long from, long to, long step) = bounds switch
        {
            [long end] => (0L, end, 1L),
            [long start, long end] => (start, end, 1L),
            [long start, long end, long by] when by != 0 => (start, end, by),
            _ => throw new TemplateException("range takes one to three numbers"),
        };
        var numbers = new List<object?>();
        for (long n = from; step > 0 ? n < to : n > to; n += step)
        {
            numbers.Add(n);
            if (numbers.Count > MaxRange)
                throw new TemplateException($"a range has more than {MaxRange} numbers");
        }

        return numbers;
    }

    private static DictionaryValue Dictionary(IReadOnlyDictionary<string, object?> named)
    {
        var value = new DictionaryValue();
        foreach ((string name, object? item) in named)
            value[name] = item;
        return value;
    }

    private static NamespaceValue Namespace(IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named)
    {
        var value = new NamespaceValue();
        foreach (object? given in arguments)
        {
            foreach ((object key, object? item) in (DictionaryValue)given!)
                value.Members[Values.Text(key)] = item;
        }

        foreach ((string name, object? item) in named)
            value.Members[name] = item;
        return value;
    }

    // C's strftime, as far as dates in prompts go.
    private static string Format(DateTimeOffset now, string format)
    {
        var text = new StringBuilder();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }

            bool short_ = format[i + 1] == '-' && i + 2 < format.Length;
            i += short_ ? 2 : 1;
            text.Append(format[i] switch
            {
                'd' => Number(now.Day, 2),
                'm' => Number(now.Month, 2),
                'Y' => Number(now.Year, 4),
                'y' => Number(now.Year % 100, 2),
                'H' => Number(now.Hour, 2),
                'I' => Number(((now.Hour + 11) % 12) + 1, 2),
                'M' => Number(now.Minute, 2),
                'S' => Number(now.Second, 2),
                'j' => Number(now.DayOfYear, 3),
                'B' => now.ToString("MMMM", CultureInfo.InvariantCulture),
                'b' => now.ToString("MMM", CultureInfo.InvariantCulture),
                'A' => now.ToString("dddd", CultureInfo.InvariantCulture),
                'a' => now.ToString("ddd", CultureInfo.InvariantCulture),
                'p' => now.Hour < 12 ? "AM" : "PM",
                'e' => now.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
                'F' => now.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
                'T' => now.ToString("HH:mm:ss", CultureInfo.InvariantCulture),
                '%' => "%",
                _ => throw new TemplateException($"strftime_now does not know '%{format[i]}'"),
            });

            string Number(int value, int digits) => short_ ? value.ToString(CultureInfo.InvariantCulture) : value.ToString(CultureInfo.InvariantCulture).PadLeft(digits, '0');
        }

        return text.ToString();
    }
}

/// <summary>What raise_exception says.</summary>
internal sealed class TemplateRefusal(string message) : Exception(message);
