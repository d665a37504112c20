namespace Drover.ChatTemplates;

/// <summary>Python's arithmetic.</summary>
internal static class Arithmetic
{
    private const int MaxRepeated = 1 << 20;
    private const int MaxText = 16 << 20;

    public static object? Run(string symbol, object? left, object? right)
    {
        if (symbol == "~")
            return Join(Values.Text(left), Values.Text(right));
        try
        {
            return (symbol, left, right) switch
            {
                ("+", string a, string b) => Join(a, b),
                ("+", List<object?> a, List<object?> b) => a is TupleValue ? new TupleValue(a.Concat(b)) : new List<object?>(a.Concat(b)),
                ("*", string a, long n) => Repeat(a, n),
                ("*", List<object?> a, long n) => new List<object?>(Enumerable.Range(0, (int)Math.Clamp(n, 0, MaxRepeated / Math.Max(1, a.Count))).SelectMany(_ => a)),
                ("%", string, _) => throw new TemplateException("formatting with % is not supported"),
                (_, long or bool, long or bool) => Integers(symbol, Values.ToInteger(left), Values.ToInteger(right)),
                _ when Values.IsNumber(left) && Values.IsNumber(right) => Numbers(symbol, Values.ToDouble(left), Values.ToDouble(right)),
                _ => throw new TemplateException($"'{symbol}' does not go with {Values.TypeOf(left)} and {Values.TypeOf(right)}"),
            };
        }
        catch (Exception e) when (e is OverflowException or DivideByZeroException)
        {
            throw new TemplateException(e is OverflowException ? "a number is too large" : "division by zero");
        }
    }

    private static string Join(string a, string b) =>
        a.Length + (long)b.Length > MaxText ? throw new TemplateException($"a string grows over {MaxText} characters") : a + b;

    private static string Repeat(string text, long times) =>
        times * Math.Max(1, text.Length) > MaxRepeated ? throw new TemplateException("a string is repeated too often") : string.Concat(Enumerable.Repeat(text, (int)Math.Max(0, times)));

    private static object Integers(string symbol, long a, long b) => symbol switch
    {
        "+" => checked(a + b),
        "-" => checked(a - b),
        "*" => checked(a * b),
        "/" => b == 0 ? throw new DivideByZeroException() : (double)a / b,
        "//" => checked((a / b) - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0)),
        "%" => ((a % b) + b) % b,
        _ => b >= 0 ? (object)checked((long)Math.Pow(a, b)) : Math.Pow(a, b),
    };

    private static double Numbers(string symbol, double a, double b) => symbol switch
    {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => b == 0 ? throw new DivideByZeroException() : a / b,
        "//" => b == 0 ? throw new DivideByZeroException() : Math.Floor(a / b),
        "%" => b == 0 ? throw new DivideByZeroException() : a - (b * Math.Floor(a / b)),
        _ => Math.Pow(a, b),
    };
}
