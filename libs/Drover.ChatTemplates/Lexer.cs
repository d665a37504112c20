using System.Text;

namespace Drover.ChatTemplates;

/// <summary>
/// Cuts a template into words as Jinja2 does with trim_blocks and lstrip_blocks, the settings of transformers: the line end after a
/// block goes, and so do the spaces before one that stands first in its line.
/// </summary>
internal sealed class Lexer
{
    private static readonly string[] Operators = ["**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|"];
    private readonly string _source;
    private readonly List<Token> _tokens = [];
    private int _at;

    private Lexer(string source) => _source = source;

    public static List<Token> Read(string template)
    {
        string source = template.ReplaceLineEndings("\n");
        // Jinja2 leaves out one line end at the end of a file.
        var lexer = new Lexer(source.EndsWith('\n') ? source[..^1] : source);
        lexer.ReadAll();
        return lexer._tokens;
    }

    private void ReadAll()
    {
        bool trimLine = false;
        bool trimAll = false;
        while (_at < _source.Length)
        {
            int open = NextTag();
            string text = _source[_at..open];
            if (trimAll)
                text = text.TrimStart();
            else if (trimLine && text.StartsWith('\n'))
                text = text[1..];
            (trimLine, trimAll) = (false, false);
            if (open == _source.Length)
            {
                AddText(text);
                break;
            }

            char kind = _source[open + 1];
            char sign = open + 2 < _source.Length ? _source[open + 2] : ' ';
            if (sign == '-')
                text = text.TrimEnd();
            else if (kind != '{' && sign != '+')
                text = WithoutIndent(text, open);
            AddText(text);
            _at = open + (sign is '-' or '+' ? 3 : 2);
            if (kind == '#')
                (trimLine, trimAll) = SkipComment();
            else
                (trimLine, trimAll) = ReadTag(kind == '%', open);
        }

        _tokens.Add(new Token(TokenKind.End, "", LineAt(_source.Length)));
    }

    private int NextTag()
    {
        for (int at = _at; ; at++)
        {
            at = _source.IndexOf('{', at);
            if (at < 0 || at + 1 >= _source.Length)
                return _source.Length;
            if (_source[at + 1] is '{' or '%' or '#')
                return at;
        }
    }

    private string WithoutIndent(string text, int open)
    {
        int start = open;
        while (start > 0 && _source[start - 1] is ' ' or '\t')
            start--;
        return start == 0 || _source[start - 1] == '\n' ? text[..^Math.Min(text.Length, open - start)] : text;
    }

    private (bool Line, bool All) SkipComment()
    {
        int end = _source.IndexOf("#}", _at, StringComparison.Ordinal);
        if (end < 0)
            throw new TemplateException("a comment does not end", LineAt(_at));
        _at = end + 2;
        return (_source[end - 1] != '+', _source[end - 1] == '-');
    }

    private (bool Line, bool All) ReadTag(bool block, int open)
    {
        _tokens.Add(new Token(block ? TokenKind.OpenBlock : TokenKind.OpenOutput, "", LineAt(open)));
        string close = block ? "%}" : "}}";
        int depth = 0;
        while (true)
        {
            SkipSpaces();
            if (_at >= _source.Length)
                throw new TemplateException("a tag does not end", LineAt(open));
            char c = _source[_at];
            char sign = c is '-' or '+' ? c : ' ';
            if (depth == 0 && string.CompareOrdinal(_source, sign == ' ' ? _at : _at + 1, close, 0, 2) == 0)
            {
                _tokens.Add(new Token(block ? TokenKind.CloseBlock : TokenKind.CloseOutput, "", LineAt(_at)));
                _at += sign == ' ' ? 2 : 3;
                return (block && sign != '+', sign == '-');
            }

            depth += c is '(' or '[' or '{' ? 1 : c is ')' or ']' or '}' ? -1 : 0;
            ReadWord(c);
        }
    }

    private void ReadWord(char c)
    {
        int start = _at;
        if (char.IsLetter(c) || c == '_')
        {
            while (_at < _source.Length && (char.IsLetterOrDigit(_source[_at]) || _source[_at] == '_'))
                _at++;
            _tokens.Add(new Token(TokenKind.Name, _source[start.._at], LineAt(start)));
        }
        else if (char.IsAsciiDigit(c))
        {
            ReadNumber(start);
        }
        else if (c is '\'' or '"')
        {
            _tokens.Add(new Token(TokenKind.String, ReadString(c), LineAt(start)));
        }
        else
        {
            string found = Operators.FirstOrDefault(o => string.CompareOrdinal(_source, _at, o, 0, o.Length) == 0)
                ?? throw new TemplateException($"'{c}' is not part of the language", LineAt(start));
            _at += found.Length;
            _tokens.Add(new Token(TokenKind.Operator, found, LineAt(start)));
        }
    }

    private void ReadNumber(int start)
    {
        bool real = false;
        while (_at < _source.Length && (char.IsAsciiDigit(_source[_at]) || _source[_at] == '_' || (!real && _source[_at] == '.' && _at + 1 < _source.Length && char.IsAsciiDigit(_source[_at + 1]))))
            real |= _source[_at++] == '.';
        // As in 1e3 and 2.5e-4.
        if (_at < _source.Length && _source[_at] is ('e' or 'E'))
        {
            int digits = _at + 1 < _source.Length && _source[_at + 1] is ('+' or '-') ? _at + 2 : _at + 1;
            if (digits < _source.Length && char.IsAsciiDigit(_source[digits]))
            {
                real = true;
                for (_at = digits; _at < _source.Length && char.IsAsciiDigit(_source[_at]);)
                    _at++;
            }
        }

        _tokens.Add(new Token(real ? TokenKind.Float : TokenKind.Integer, _source[start.._at].Replace("_", "", StringComparison.Ordinal), LineAt(start)));
    }

    private string ReadString(char quote)
    {
        int start = _at++;
        var text = new StringBuilder();
        while (true)
        {
            if (_at >= _source.Length)
                throw new TemplateException("a string does not end", LineAt(start));
            char c = _source[_at++];
            if (c == quote)
                return text.ToString();
            text.Append(c == '\\' && _at < _source.Length ? Unescape() : c.ToString());
        }
    }

    // Python's escapes.
    private string Unescape()
    {
        char c = _source[_at++];
        int digits = c switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
        if (digits > 0 && _at + digits <= _source.Length
            && int.TryParse(_source.AsSpan(_at, digits), System.Globalization.NumberStyles.AllowHexSpecifier, System.Globalization.CultureInfo.InvariantCulture, out int code))
        {
            _at += digits;
            return Rune.TryCreate(code, out Rune rune) ? rune.ToString() : ((char)code).ToString();
        }

        return c switch
        {
            'n' => "\n",
            't' => "\t",
            'r' => "\r",
            'b' => "\b",
            'f' => "\f",
            'v' => "\v",
            'a' => "\a",
            '0' => "\0",
            '\n' => "",
            '\\' or '\'' or '"' => c.ToString(),
            _ => "\\" + c,
        };
    }

    private void SkipSpaces()
    {
        while (_at < _source.Length && char.IsWhiteSpace(_source[_at]))
            _at++;
    }

    private void AddText(string text)
    {
        if (text.Length > 0)
            _tokens.Add(new Token(TokenKind.Text, text, LineAt(_at)));
    }

    private int LineAt(int at) => _source.AsSpan(0, Math.Min(at, _source.Length)).Count('\n') + 1;
}
