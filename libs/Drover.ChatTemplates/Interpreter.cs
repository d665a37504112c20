using System.Text;

namespace Drover.ChatTemplates;

/// <summary>
/// Runs the statements of a template. Like transformers' sandbox it changes nothing that is given to it and reaches nothing else; steps, output
/// and depth are bounded, so that a hostile template ends.
/// </summary>
internal sealed partial class Interpreter(CancellationToken cancellation)
{
    private const int MaxSteps = 5_000_000;
    private const int MaxOutput = 64 << 20;
    private const int MaxDepth = 100;
    private readonly List<(int Start, int End)> _generated = [];
    private StringBuilder _output = new();
    private int _steps;
    private int _depth;

    private enum Jump
    {
        None,
        Break,
        Continue,
    }

    /// <summary>The text, and the stretches of it that stand in generation blocks.</summary>
    public (string Text, IReadOnlyList<(int Start, int End)> Generated) Run(IReadOnlyList<Statement> statements, Scope scope)
    {
        Execute(statements, scope);
        return (_output.ToString(), _generated);
    }

    private Jump Execute(IReadOnlyList<Statement> statements, Scope scope)
    {
        foreach (Statement statement in statements)
        {
            Jump jump = At(statement.Line, () => Execute(statement, scope));
            if (jump != Jump.None)
                return jump;
        }

        return Jump.None;
    }

    // An error takes the line of the innermost statement.
    private T At<T>(int line, Func<T> step)
    {
        Count();
        try
        {
            return step();
        }
        catch (TemplateException e) when (e.Line == 0)
        {
            throw new TemplateException(e.Message, line);
        }
    }

    private void Count()
    {
        if (++_steps > MaxSteps)
            throw new TemplateException("it takes too many steps");
        if ((_steps & 0xFF) == 0)
            cancellation.ThrowIfCancellationRequested();
    }

    private Jump Execute(Statement statement, Scope scope)
    {
        switch (statement)
        {
            case TextStatement text:
                Write(text.Text);
                return Jump.None;
            case OutputStatement output:
                Write(Values.Text(Evaluate(output.Value, scope)));
                return Jump.None;
            case IfStatement choice:
                return Execute(Values.IsTrue(Evaluate(choice.Condition, scope)) ? choice.Then : choice.Else, scope);
            case ForStatement loop:
                Loop(loop, Evaluate(loop.Over, scope), scope, 0);
                return Jump.None;
            case SetStatement set:
                Set(set, scope);
                return Jump.None;
            case MacroStatement macro:
                scope.Set(macro.Name, Macro(macro.Name, macro.Parameters, macro.Body, scope));
                return Jump.None;
            case CallStatement call:
                var inner = new Scope(scope);
                inner.Set("caller", Macro("caller", call.Parameters, call.Body, scope));
                Write(Values.Text(Evaluate(call.Call, inner)));
                return Jump.None;
            case FilterStatement filter:
                Write(Values.Text(Apply(filter.Filters, Captured(filter.Body, new Scope(scope)), scope)));
                return Jump.None;
            case GenerationStatement generation:
                int start = _output.Length;
                Execute(generation.Body, scope);
                _generated.Add((start, _output.Length));
                return Jump.None;
            case LoopJump jump:
                return jump.Break ? Jump.Break : Jump.Continue;
            default:
                throw new TemplateException($"{statement.GetType().Name} cannot be run");
        }
    }

    private void Write(string text)
    {
        if (_output.Length + text.Length > MaxOutput)
            throw new TemplateException($"it writes more than {MaxOutput} characters");
        _output.Append(text);
    }

    private void Loop(ForStatement loop, object? over, Scope scope, int depth)
    {
        var items = new List<object?>();
        foreach (object? item in Values.Iterate(over))
        {
            if (loop.Filter is not null)
            {
                var trial = new Scope(scope);
                Assign(loop.Names, item, trial);
                if (!Values.IsTrue(Evaluate(loop.Filter, trial)))
                    continue;
            }

            items.Add(item);
        }

        if (items.Count == 0)
        {
            Execute(loop.Else, scope);
            return;
        }

        var state = new LoopState(items, depth, inner => Captured(() => Loop(loop, inner, scope, depth + 1)));
        for (int i = 0; i < items.Count; i++)
        {
            Count();
            state.Index = i;
            var body = new Scope(scope);
            body.Set("loop", state);
            Assign(loop.Names, items[i], body);
            if (Execute(loop.Body, body) == Jump.Break)
                return;
        }
    }

    private static void Assign(IReadOnlyList<string> names, object? value, Scope scope)
    {
        if (names.Count == 1)
        {
            scope.Set(names[0], value);
            return;
        }

        object?[] parts = [.. Values.Iterate(value)];
        if (parts.Length != names.Count)
            throw new TemplateException($"{names.Count} names are given {parts.Length} values");
        for (int i = 0; i < parts.Length; i++)
            scope.Set(names[i], parts[i]);
    }

    private void Set(SetStatement set, Scope scope)
    {
        object? value = set.Value is not null ? Evaluate(set.Value, scope) : Apply(set.Filters, Captured(set.Body, new Scope(scope)), scope);
        object?[] values = set.Targets.Count == 1 ? [value] : [.. Values.Iterate(value)];
        if (values.Length != set.Targets.Count)
            throw new TemplateException($"{set.Targets.Count} names are given {values.Length} values");
        for (int i = 0; i < values.Length; i++)
        {
            if (set.Targets[i] is Variable variable)
                scope.Set(variable.Name, values[i]);
            else if (set.Targets[i] is Member member && Evaluate(member.Of, scope) is NamespaceValue space)
                space.Members[member.Name] = values[i];
            else
                throw new TemplateException("only names and members of a namespace can be set");
        }
    }

    private Function Macro(string name, IReadOnlyList<(string Name, Expression? Default)> parameters, IReadOnlyList<Statement> body, Scope defined) => (arguments, named) =>
    {
        if (++_depth > MaxDepth)
            throw new TemplateException($"the macro '{name}' calls itself too deep");
        var scope = new Scope(defined);
        if (arguments.Count > parameters.Count)
            throw new TemplateException($"the macro '{name}' takes {parameters.Count} arguments");
        for (int i = 0; i < parameters.Count; i++)
        {
            (string parameter, Expression? fallback) = parameters[i];
            scope.Set(parameter, i < arguments.Count ? arguments[i]
                : named.TryGetValue(parameter, out object? given) ? given
                : fallback is not null ? Evaluate(fallback, scope) : new Undefined(parameter));
        }

        if (named.TryGetValue("caller", out object? caller))
            scope.Set("caller", caller);
        string text = Captured(body, scope);
        _depth--;
        return text;
    };

    private string Captured(IReadOnlyList<Statement> body, Scope scope) => Captured(() => Execute(body, scope));

    private string Captured(Action run)
    {
        StringBuilder outer = _output;
        int spans = _generated.Count;
        _output = new StringBuilder();
        run();
        string text = _output.ToString();
        _output = outer;
        _generated.RemoveRange(spans, _generated.Count - spans); // where they end up in the text is not known
        return text;
    }

    private object? Apply(IReadOnlyList<FilterCall> filters, object? value, Scope scope)
    {
        foreach (FilterCall filter in filters)
            value = Apply(filter, value, scope);
        return value;
    }

    /// <summary>The variable "loop".</summary>
    internal sealed class LoopState(List<object?> items, int depth, Func<object?, string> recurse)
    {
        private object? _changed = new Undefined("changed");

        public int Index { get; set; }

        public Function Recurse => (arguments, _) => recurse(arguments[0]);

        public object? Get(string name) => name switch
        {
            "index" => (long)Index + 1,
            "index0" => (long)Index,
            "revindex" => (long)items.Count - Index,
            "revindex0" => (long)items.Count - Index - 1,
            "first" => Index == 0,
            "last" => Index == items.Count - 1,
            "length" => (long)items.Count,
            "depth" => (long)depth + 1,
            "depth0" => (long)depth,
            "previtem" => Index > 0 ? items[Index - 1] : new Undefined("previtem"),
            "nextitem" => Index + 1 < items.Count ? items[Index + 1] : new Undefined("nextitem"),
            "cycle" => (Function)((arguments, _) => arguments[Index % arguments.Count]),
            "changed" => (Function)((arguments, _) =>
            {
                var now = new TupleValue(arguments);
                bool same = Values.AreEqual(_changed, now);
                _changed = now;
                return !same;
            }),
            _ => new Undefined(name),
        };
    }
}
