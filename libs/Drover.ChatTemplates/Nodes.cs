namespace Drover.ChatTemplates;

/// <summary>A statement.</summary>
internal abstract record Statement(int Line);

internal sealed record TextStatement(int Line, string Text) : Statement(Line);

internal sealed record OutputStatement(int Line, Expression Value) : Statement(Line);

internal sealed record IfStatement(int Line, Expression Condition, IReadOnlyList<Statement> Then, IReadOnlyList<Statement> Else) : Statement(Line);

internal sealed record ForStatement(int Line, IReadOnlyList<string> Names, Expression Over, Expression? Filter, IReadOnlyList<Statement> Body, IReadOnlyList<Statement> Else, bool Recursive) : Statement(Line);

/// <summary>Without a value: the body's output is the value.</summary>
internal sealed record SetStatement(int Line, IReadOnlyList<Expression> Targets, Expression? Value, IReadOnlyList<Statement> Body, IReadOnlyList<FilterCall> Filters) : Statement(Line);

internal sealed record MacroStatement(int Line, string Name, IReadOnlyList<(string Name, Expression? Default)> Parameters, IReadOnlyList<Statement> Body) : Statement(Line);

internal sealed record CallStatement(int Line, Expression Call, IReadOnlyList<(string Name, Expression? Default)> Parameters, IReadOnlyList<Statement> Body) : Statement(Line);

internal sealed record FilterStatement(int Line, IReadOnlyList<FilterCall> Filters, IReadOnlyList<Statement> Body) : Statement(Line);

/// <summary>Output that a trained model should write: <c>{% generation %}</c>.</summary>
internal sealed record GenerationStatement(int Line, IReadOnlyList<Statement> Body) : Statement(Line);

internal sealed record LoopJump(int Line, bool Break) : Statement(Line);

/// <summary>An expression.</summary>
internal abstract record Expression(int Line);

internal sealed record Literal(int Line, object? Value) : Expression(Line);

internal sealed record Variable(int Line, string Name) : Expression(Line);

internal sealed record ListExpression(int Line, IReadOnlyList<Expression> Items) : Expression(Line);

internal sealed record DictionaryExpression(int Line, IReadOnlyList<(Expression Key, Expression Value)> Items) : Expression(Line);

internal sealed record Member(int Line, Expression Of, string Name) : Expression(Line);

internal sealed record Element(int Line, Expression Of, Expression At) : Expression(Line);

internal sealed record Slice(int Line, Expression Of, Expression? From, Expression? To, Expression? Step) : Expression(Line);

internal sealed record Call(int Line, Expression Of, Arguments Arguments) : Expression(Line);

internal sealed record Unary(int Line, string Operator, Expression Value) : Expression(Line);

internal sealed record Binary(int Line, string Operator, Expression Left, Expression Right) : Expression(Line);

/// <summary><c>a &lt; b &lt; c</c>.</summary>
internal sealed record Comparison(int Line, Expression First, IReadOnlyList<(string Operator, Expression Value)> Rest) : Expression(Line);

internal sealed record Conditional(int Line, Expression Condition, Expression Then, Expression? Else) : Expression(Line);

internal sealed record Filtered(int Line, Expression Value, FilterCall Filter) : Expression(Line);

internal sealed record Test(int Line, Expression Value, string Name, IReadOnlyList<Expression> Arguments, bool Not) : Expression(Line);

internal sealed record FilterCall(int Line, string Name, Arguments Arguments);

internal sealed record Arguments(IReadOnlyList<Expression> Positional, IReadOnlyList<(string Name, Expression Value)> Named)
{
    public static Arguments None { get; } = new([], []);
}
