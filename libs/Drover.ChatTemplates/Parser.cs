namespace Drover.ChatTemplates;

/// <summary>Statements of a template; expressions are the other half of this class.</summary>
internal sealed partial class Parser
{
    private const int MaxDepth = 200;
    private readonly List<Token> _tokens;
    private int _at;
    private int _depth;

    private Parser(List<Token> tokens) => _tokens = tokens;

    private Token Now => _tokens[_at];

    public static IReadOnlyList<Statement> Parse(string template)
    {
        var parser = new Parser(Lexer.Read(template));
        IReadOnlyList<Statement> statements = parser.Body();
        return parser.Now.Kind == TokenKind.End ? statements : throw parser.Unexpected();
    }

    /// <summary>Statements up to a block that none of them opened.</summary>
    private List<Statement> Body()
    {
        if (++_depth > MaxDepth)
            throw new TemplateException("blocks lie too deep in each other", Now.Line);
        var statements = new List<Statement>();
        while (true)
        {
            Token token = Now;
            if (token.Kind == TokenKind.Text)
            {
                _at++;
                statements.Add(new TextStatement(token.Line, token.Text));
            }
            else if (token.Kind == TokenKind.OpenOutput)
            {
                _at++;
                statements.Add(new OutputStatement(token.Line, Tuple()));
                Take(TokenKind.CloseOutput);
            }
            else if (token.Kind == TokenKind.OpenBlock && _tokens[_at + 1].Text is not ("else" or "elif") && !_tokens[_at + 1].Text.StartsWith("end", StringComparison.Ordinal))
            {
                _at++;
                statements.Add(Block());
            }
            else
            {
                _depth--;
                return statements;
            }
        }
    }

    private Statement Block()
    {
        Token word = Take(TokenKind.Name);
        switch (word.Text)
        {
            case "if":
                return If(word.Line);
            case "for":
                return For(word.Line);
            case "set":
                return Set(word.Line);
            case "macro":
                string name = Take(TokenKind.Name).Text;
                List<(string, Expression?)> parameters = Parameters();
                return new MacroStatement(word.Line, name, parameters, EndedBody("endmacro"));
            case "call":
                List<(string, Expression?)> given = Is("(") ? Parameters() : [];
                Expression call = Expression();
                return new CallStatement(word.Line, call, given, EndedBody("endcall"));
            case "filter":
                List<FilterCall> filters = [Filter()];
                while (TakeIf("|"))
                    filters.Add(Filter());
                return new FilterStatement(word.Line, filters, EndedBody("endfilter"));
            case "generation":
                return new GenerationStatement(word.Line, EndedBody("endgeneration"));
            case "break" or "continue":
                Take(TokenKind.CloseBlock);
                return new LoopJump(word.Line, word.Text == "break");
            default:
                throw new TemplateException($"the block '{word.Text}' is not known", word.Line);
        }
    }

    private IfStatement If(int line)
    {
        Expression condition = Expression();
        Take(TokenKind.CloseBlock);
        List<Statement> then = Body();
        Take(TokenKind.OpenBlock);
        Token word = Take(TokenKind.Name);
        if (word.Text == "elif")
            return new IfStatement(line, condition, then, [If(word.Line)]);
        if (word.Text == "else")
        {
            List<Statement> otherwise = EndedBody("endif");
            return new IfStatement(line, condition, then, otherwise);
        }

        if (word.Text != "endif")
            throw Unexpected(word);
        Take(TokenKind.CloseBlock);
        return new IfStatement(line, condition, then, []);
    }

    private ForStatement For(int line)
    {
        List<string> names = [];
        bool parenthesis = TakeIf("(");
        do
            names.Add(Take(TokenKind.Name).Text);
        while (TakeIf(","));
        if (parenthesis)
            Take(")");
        TakeName("in");
        // A condition behind the list belongs to the loop.
        Expression over = Or();
        if (Is(","))
        {
            List<Expression> items = [over];
            while (TakeIf(","))
                items.Add(Or());
            over = new ListExpression(line, items);
        }

        Expression? filter = IsName("if") ? Next(() => Expression()) : null;
        bool recursive = IsName("recursive") && Next(() => true);
        Take(TokenKind.CloseBlock);
        List<Statement> body = Body();
        Take(TokenKind.OpenBlock);
        Token word = Take(TokenKind.Name);
        if (word.Text == "else")
            return new ForStatement(line, names, over, filter, body, EndedBody("endfor"), recursive);
        if (word.Text != "endfor")
            throw Unexpected(word);
        Take(TokenKind.CloseBlock);
        return new ForStatement(line, names, over, filter, body, [], recursive);
    }

    private SetStatement Set(int line)
    {
        List<Expression> targets = [];
        do
        {
            Expression target = new Variable(Now.Line, Take(TokenKind.Name).Text);
            if (TakeIf("."))
                target = new Member(line, target, Take(TokenKind.Name).Text);
            targets.Add(target);
        }
        while (TakeIf(","));
        if (TakeIf("="))
        {
            Expression value = Tuple();
            Take(TokenKind.CloseBlock);
            return new SetStatement(line, targets, value, [], []);
        }

        List<FilterCall> filters = [];
        while (TakeIf("|"))
            filters.Add(Filter());
        return new SetStatement(line, targets, null, EndedBody("endset"), filters);
    }

    private List<(string, Expression?)> Parameters()
    {
        var parameters = new List<(string, Expression?)>();
        Take("(");
        while (!TakeIf(")"))
        {
            string name = Take(TokenKind.Name).Text;
            parameters.Add((name, TakeIf("=") ? Expression() : null));
            if (!Is(")"))
                Take(",");
        }

        return parameters;
    }

    private List<Statement> EndedBody(string end)
    {
        Take(TokenKind.CloseBlock);
        List<Statement> body = Body();
        Take(TokenKind.OpenBlock);
        TakeName(end);
        if (end is "endmacro" or "endset" && Now.Kind == TokenKind.Name)
            _at++; // the name may stand there again
        Take(TokenKind.CloseBlock);
        return body;
    }

    private T Next<T>(Func<T> rest)
    {
        _at++;
        return rest();
    }

    private bool Is(string symbol) => Now.Kind == TokenKind.Operator && Now.Text == symbol;

    private bool IsName(string name) => Now.Kind == TokenKind.Name && Now.Text == name;

    private bool TakeIf(string symbol)
    {
        bool there = Is(symbol);
        _at += there ? 1 : 0;
        return there;
    }

    private void Take(string symbol)
    {
        if (!TakeIf(symbol))
            throw new TemplateException($"'{symbol}' is missing before {Describe(Now)}", Now.Line);
    }

    private void TakeName(string name)
    {
        if (!IsName(name))
            throw new TemplateException($"'{name}' is missing before {Describe(Now)}", Now.Line);
        _at++;
    }

    private Token Take(TokenKind kind)
    {
        Token token = Now;
        if (token.Kind != kind)
            throw Unexpected();
        _at++;
        return token;
    }

    private TemplateException Unexpected() => Unexpected(Now);

    private static TemplateException Unexpected(Token token) => new($"{Describe(token)} is not expected here", token.Line);

    private static string Describe(Token token) => token.Kind switch
    {
        TokenKind.End => "the end of the template",
        TokenKind.OpenBlock => "a block",
        TokenKind.CloseBlock => "'%}'",
        TokenKind.CloseOutput => "'}}'",
        TokenKind.OpenOutput => "'{{'",
        TokenKind.Text => "text",
        _ => $"'{token.Text}'",
    };
}
