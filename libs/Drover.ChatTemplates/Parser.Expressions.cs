using System.Globalization;

namespace Drover.ChatTemplates;

internal sealed partial class Parser
{
    /// <summary>An expression, or several with commas between them: a tuple.</summary>
    private Expression Tuple()
    {
        Expression first = Expression();
        if (!Is(","))
            return first;
        List<Expression> items = [first];
        while (TakeIf(",") && Now.Kind is not (TokenKind.CloseBlock or TokenKind.CloseOutput) && !Is(")"))
            items.Add(Expression());
        return new ListExpression(first.Line, items);
    }

    private Expression Expression()
    {
        if (++_depth > MaxDepth)
            throw new TemplateException("expressions lie too deep in each other", Now.Line);
        Expression value = Or();
        while (IsName("if"))
        {
            int line = Now.Line;
            _at++;
            Expression condition = Or();
            Expression? otherwise = IsName("else") ? Next(Expression) : null;
            value = new Conditional(line, condition, value, otherwise);
        }

        _depth--;
        return value;
    }

    private Expression Or()
    {
        Expression left = And();
        while (IsName("or"))
            left = new Binary(Now.Line, "or", left, Next(And));
        return left;
    }

    private Expression And()
    {
        Expression left = Not();
        while (IsName("and"))
            left = new Binary(Now.Line, "and", left, Next(Not));
        return left;
    }

    private Expression Not() =>
        IsName("not") && !IsNameAt(1, "in") ? new Unary(Now.Line, "not", Next(Not)) : Compare();

    private Expression Compare()
    {
        Expression first = Sum();
        var rest = new List<(string, Expression)>();
        while (true)
        {
            if (Now.Kind == TokenKind.Operator && Now.Text is "==" or "!=" or "<" or "<=" or ">" or ">=")
                rest.Add((_tokens[_at++].Text, Sum()));
            else if (IsName("in"))
                rest.Add(("in", Next(Sum)));
            else if (IsName("not") && IsNameAt(1, "in"))
                rest.Add(("not in", Next(() => Next(Sum))));
            else
                return rest.Count == 0 ? first : new Comparison(first.Line, first, rest);
        }
    }

    private Expression Sum()
    {
        Expression left = Concatenation();
        while (Is("+") || Is("-"))
            left = new Binary(Now.Line, _tokens[_at++].Text, left, Concatenation());
        return left;
    }

    private Expression Concatenation()
    {
        Expression left = Product();
        while (Is("~"))
            left = new Binary(Now.Line, "~", left, Next(Product));
        return left;
    }

    private Expression Product()
    {
        Expression left = Signed();
        while (Now.Kind == TokenKind.Operator && Now.Text is "*" or "/" or "//" or "%")
            left = new Binary(Now.Line, _tokens[_at++].Text, left, Signed());
        return left;
    }

    /// <param name="filters">Filters bind to a signed value as a whole.</param>
    private Expression Signed(bool filters = true)
    {
        Token token = Now;
        Expression value = Is("-") || Is("+") ? new Unary(token.Line, token.Text, Next(() => Signed(false))) : Primary();
        value = Postfix(value);
        if (TakeIf("**"))
            value = new Binary(token.Line, "**", value, Signed(false));
        return filters ? FiltersAndTests(value) : value;
    }

    private Expression Primary()
    {
        Token token = Now;
        _at++;
        switch (token.Kind)
        {
            case TokenKind.String:
                string text = token.Text;
                while (Now.Kind == TokenKind.String)
                    text += _tokens[_at++].Text;
                return new Literal(token.Line, text);
            case TokenKind.Integer:
                return new Literal(token.Line, long.TryParse(token.Text, CultureInfo.InvariantCulture, out long number) ? number : throw new TemplateException($"the number {token.Text} is too large", token.Line));
            case TokenKind.Float:
                return new Literal(token.Line, double.Parse(token.Text, CultureInfo.InvariantCulture));
            case TokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => new Literal(token.Line, true),
                    "false" or "False" => new Literal(token.Line, false),
                    "none" or "None" => new Literal(token.Line, null),
                    _ => new Variable(token.Line, token.Text),
                };
            case TokenKind.Operator when token.Text == "(":
                if (TakeIf(")"))
                    return new ListExpression(token.Line, []);
                Expression inner = Tuple();
                Take(")");
                return inner;
            case TokenKind.Operator when token.Text == "[":
                return new ListExpression(token.Line, Items("]"));
            case TokenKind.Operator when token.Text == "{":
                return Dictionary(token.Line);
            default:
                _at--;
                throw Unexpected();
        }
    }

    private List<Expression> Items(string end)
    {
        var items = new List<Expression>();
        while (!TakeIf(end))
        {
            items.Add(Expression());
            if (!Is(end))
                Take(",");
        }

        return items;
    }

    private DictionaryExpression Dictionary(int line)
    {
        var items = new List<(Expression, Expression)>();
        while (!TakeIf("}"))
        {
            Expression key = Expression();
            Take(":");
            items.Add((key, Expression()));
            if (!Is("}"))
                Take(",");
        }

        return new DictionaryExpression(line, items);
    }

    private Expression Postfix(Expression value)
    {
        while (true)
        {
            int line = Now.Line;
            if (TakeIf("."))
            {
                Token name = Now;
                _at++;
                value = name.Kind switch
                {
                    TokenKind.Name => new Member(line, value, name.Text),
                    TokenKind.Integer => new Element(line, value, new Literal(line, long.Parse(name.Text, CultureInfo.InvariantCulture))),
                    _ => throw Unexpected(name),
                };
            }
            else if (TakeIf("["))
            {
                value = Subscript(line, value);
            }
            else if (Is("("))
            {
                value = new Call(line, value, CallArguments());
            }
            else
            {
                return value;
            }
        }
    }

    private Expression Subscript(int line, Expression value)
    {
        Expression?[] parts = new Expression?[3];
        int part = 0;
        while (!Is("]"))
        {
            if (TakeIf(":"))
                part++;
            else
                parts[part] = Expression();
            if (part > 2)
                throw Unexpected();
        }

        Take("]");
        return part > 0 ? new Slice(line, value, parts[0], parts[1], parts[2]) : new Element(line, value, parts[0] ?? throw Unexpected());
    }

    private Arguments CallArguments()
    {
        Take("(");
        var positional = new List<Expression>();
        var named = new List<(string, Expression)>();
        while (!TakeIf(")"))
        {
            if (Now.Kind == TokenKind.Name && _tokens[_at + 1] is { Kind: TokenKind.Operator, Text: "=" })
            {
                string name = Now.Text;
                _at += 2;
                named.Add((name, Expression()));
            }
            else
            {
                positional.Add(Expression());
            }

            if (!Is(")"))
                Take(",");
        }

        return new Arguments(positional, named);
    }

    private Expression FiltersAndTests(Expression value)
    {
        while (true)
        {
            int line = Now.Line;
            if (TakeIf("|"))
                value = new Filtered(line, value, Filter());
            else if (IsName("is"))
                value = TestOf(line, value);
            else if (Is("(") || Is(".") || Is("["))
                value = Postfix(value);
            else
                return value;
        }
    }

    private FilterCall Filter()
    {
        Token name = Take(TokenKind.Name);
        return new FilterCall(name.Line, name.Text, Is("(") ? CallArguments() : Arguments.None);
    }

    private Test TestOf(int line, Expression value)
    {
        _at++;
        bool not = IsName("not");
        _at += not ? 1 : 0;
        string name = Take(TokenKind.Name).Text;
        IReadOnlyList<Expression> arguments = [];
        if (Is("("))
            arguments = CallArguments().Positional;
        else if (Now.Kind is TokenKind.String or TokenKind.Integer or TokenKind.Float || Is("[") || Is("{")
            || (Now.Kind == TokenKind.Name && Now.Text is not ("else" or "or" or "and" or "is" or "if" or "in" or "not" or "recursive")))
            arguments = [Postfix(Primary())];
        return new Test(line, value, name, arguments, not);
    }

    private bool IsNameAt(int ahead, string name) => _tokens[Math.Min(_at + ahead, _tokens.Count - 1)] is { Kind: TokenKind.Name } token && token.Text == name;
}
