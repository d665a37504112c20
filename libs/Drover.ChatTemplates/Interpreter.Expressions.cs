namespace Drover.ChatTemplates;

internal sealed partial class Interpreter
{
    private object? Evaluate(Expression expression, Scope scope)
    {
        Count();
        try
        {
            return expression switch
            {
                Literal literal => literal.Value,
                Variable variable => scope.Get(variable.Name),
                ListExpression list => new List<object?>(list.Items.Select(i => Evaluate(i, scope))),
                DictionaryExpression dictionary => Dictionary(dictionary, scope),
                Member member => MemberOf(Evaluate(member.Of, scope), member.Name),
                Element element => ElementOf(Evaluate(element.Of, scope), Evaluate(element.At, scope)),
                Slice slice => SliceOf(slice, scope),
                Call call => Invoke(call, scope),
                Unary unary => UnaryOf(unary.Operator, Evaluate(unary.Value, scope)),
                Binary binary => BinaryOf(binary, scope),
                Comparison comparison => Compare(comparison, scope),
                Conditional choice => Values.IsTrue(Evaluate(choice.Condition, scope)) ? Evaluate(choice.Then, scope)
                    : choice.Else is null ? new Undefined("") : Evaluate(choice.Else, scope),
                Filtered filtered => Apply(filtered.Filter, Evaluate(filtered.Value, scope), scope),
                Test test => Predicates.Run(test.Name, Evaluate(test.Value, scope), [.. test.Arguments.Select(a => Evaluate(a, scope))]) != test.Not,
                _ => throw new TemplateException($"{expression.GetType().Name} cannot be evaluated"),
            };
        }
        catch (TemplateException e) when (e.Line == 0)
        {
            throw new TemplateException(e.Message, expression.Line);
        }
    }

    private DictionaryValue Dictionary(DictionaryExpression dictionary, Scope scope)
    {
        var value = new DictionaryValue();
        foreach ((Expression key, Expression item) in dictionary.Items)
            value[Evaluate(key, scope) ?? throw new TemplateException("none is no key")] = Evaluate(item, scope);
        return value;
    }

    private static object? MemberOf(object? value, string name) => value switch
    {
        Undefined undefined => throw new TemplateException($"'{undefined.Name}' is not defined and has no '{name}'"),
        NamespaceValue space => space.Members.TryGetValue(name, out object? member) ? member : new Undefined(name),
        LoopState loop => loop.Get(name),
        // Python's methods come before keys of the same name.
        DictionaryValue dictionary => (object?)Methods.Of(dictionary, name) ?? (dictionary.TryGetValue(name, out object? item) ? item : new Undefined(name)),
        _ => (object?)Methods.Of(value, name) ?? new Undefined(name),
    };

    private static object? ElementOf(object? value, object? at)
    {
        switch (value)
        {
            case Undefined undefined:
                throw new TemplateException($"'{undefined.Name}' is not defined and has no elements");
            case DictionaryValue dictionary:
                return at is not null && dictionary.TryGetValue(at, out object? item) ? item : at is string key ? (object?)Methods.Of(dictionary, key) ?? new Undefined(key) : new Undefined(Values.Text(at));
            case List<object?> list when at is long index:
                index += index < 0 ? list.Count : 0;
                return index >= 0 && index < list.Count ? list[(int)index] : new Undefined(Values.Text(at));
            case string text when at is long index:
                index += index < 0 ? text.Length : 0;
                return index >= 0 && index < text.Length ? text[(int)index].ToString() : new Undefined(Values.Text(at));
            default:
                return at is string name ? MemberOf(value, name) : new Undefined(Values.Text(at));
        }
    }

    private object? SliceOf(Slice slice, Scope scope)
    {
        object? value = Evaluate(slice.Of, scope);
        long? Part(Expression? part) => part is null || Evaluate(part, scope) is not { } given ? null : Values.ToInteger(given);
        int length = value switch
        {
            string s => s.Length,
            List<object?> l => l.Count,
            _ => throw new TemplateException($"{Values.TypeOf(value)} cannot be sliced"),
        };
        long step = Part(slice.Step) ?? 1;
        if (step == 0)
            throw new TemplateException("the step of a slice is zero");
        long Clamp(long? at, long fallback) => at is not { } given ? fallback : Math.Clamp(given < 0 ? given + length : given, step > 0 ? 0 : -1, step > 0 ? length : length - 1);
        long from = Clamp(Part(slice.From), step > 0 ? 0 : length - 1);
        long to = Clamp(Part(slice.To), step > 0 ? length : -1);
        var places = new List<int>();
        for (long at = from; step > 0 ? at < to : at > to; at += step)
            places.Add((int)at);
        if (value is string text)
            return string.Concat(places.Select(p => text[p]));
        var list = (List<object?>)value!;
        return list is TupleValue ? new TupleValue(places.Select(p => list[p])) : new List<object?>(places.Select(p => list[p]));
    }

    private object? Invoke(Call call, Scope scope)
    {
        object? target = Evaluate(call.Of, scope);
        (List<object?> arguments, Dictionary<string, object?> named) = Arguments(call.Arguments, scope);
        if (target is LoopState loop)
            target = loop.Recurse;
        if (target is not Function function)
            throw new TemplateException(target is Undefined undefined ? $"the function '{undefined.Name}' is not known" : $"{Values.TypeOf(target)} cannot be called");
        if (scope.Get("caller") is Function caller && call.Of is Variable)
            named.TryAdd("caller", caller);
        return function(arguments, named);
    }

    private (List<object?> Positional, Dictionary<string, object?> Named) Arguments(Arguments arguments, Scope scope)
    {
        var positional = new List<object?>(arguments.Positional.Select(a => Evaluate(a, scope)));
        var named = new Dictionary<string, object?>(StringComparer.Ordinal);
        foreach ((string name, Expression value) in arguments.Named)
            named[name] = Evaluate(value, scope);
        return (positional, named);
    }

    private object? Apply(FilterCall filter, object? value, Scope scope)
    {
        (List<object?> arguments, Dictionary<string, object?> named) = Arguments(filter.Arguments, scope);
        return Filters.Run(filter.Name, value, arguments, named);
    }

    private static object? UnaryOf(string symbol, object? value) => symbol switch
    {
        "not" => !Values.IsTrue(value),
        "-" when value is long n => -n,
        "-" => (object)-Values.ToDouble(value),
        _ => value,
    };

    private object? BinaryOf(Binary binary, Scope scope)
    {
        object? left = Evaluate(binary.Left, scope);
        if (binary.Operator is "and" or "or")
            return Values.IsTrue(left) == (binary.Operator == "or") ? left : Evaluate(binary.Right, scope);
        object? right = Evaluate(binary.Right, scope);
        return Arithmetic.Run(binary.Operator, left, right);
    }

    private bool Compare(Comparison comparison, Scope scope)
    {
        object? left = Evaluate(comparison.First, scope);
        foreach ((string symbol, Expression other) in comparison.Rest)
        {
            object? right = Evaluate(other, scope);
            bool holds = symbol switch
            {
                "==" => Values.AreEqual(left, right),
                "!=" => !Values.AreEqual(left, right),
                "in" => Values.Contains(right, left),
                "not in" => !Values.Contains(right, left),
                "<" => Values.Compare(left, right) < 0,
                "<=" => Values.Compare(left, right) <= 0,
                ">" => Values.Compare(left, right) > 0,
                _ => Values.Compare(left, right) >= 0,
            };
            if (!holds)
                return false;
            left = right;
        }

        return true;
    }
}
