using System.Text;

namespace Drover.Tokenization;

/// <summary>
/// The text of a continuation while its tokens come. A token may end within a character: such bytes are held back until the character is
/// whole, and are left out if it never is. What may be the beginning of a stop string is held back too.
/// </summary>
/// <param name="tokenizer">Of the model.</param>
/// <param name="prompt">Tokens of the prompt: the first piece of a text may look different alone (leading space).</param>
/// <param name="stops">Stop strings.</param>
public sealed class ContinuedText(ITextTokenizer tokenizer, IReadOnlyList<int> prompt, IReadOnlyList<string> stops)
{
    // Tokens whose text is known that are decoded with the new ones.
    private const int Overlap = 8;
    private const char Replacement = '�';
    private readonly List<int> _window = [.. prompt.Skip(Math.Max(0, prompt.Count - Overlap))];
    private readonly StringBuilder _text = new();
    private int _known = Math.Min(prompt.Count, Overlap);
    private int _told;

    /// <summary>A stop string is there; the text ends before it.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Takes a token.</summary>
    /// <returns>Text that can be told now: often that of this token.</returns>
    public string Add(int id)
    {
        _window.Add(id);
        string more = Unread();
        if (more.EndsWith(Replacement))
            return "";
        Take(more);
        _known = _window.Count;
        if (_window.Count > 2 * Overlap)
        {
            _window.RemoveRange(0, _window.Count - Overlap);
            _known = Overlap;
        }

        return Tell(_text.Length - HeldBack());
    }

    /// <summary>No more tokens come.</summary>
    /// <returns>The text that was held back, without half characters at its end.</returns>
    public string Finish()
    {
        if (!IsStopped)
            Take(Unread().TrimEnd(Replacement));
        return Tell(_text.Length);
    }

    // Text of the tokens that are not known yet.
    private string Unread()
    {
        string before = tokenizer.Decode(_window[.._known], true), whole = tokenizer.Decode(_window, true);
        return whole[before.AsSpan().CommonPrefixLength(whole)..];
    }

    private void Take(string more)
    {
        int from = Math.Max(_told, _text.Length - (stops.Count == 0 ? 0 : stops.Max(s => s.Length) - 1));
        _text.Append(more);
        string searched = _text.ToString(from, _text.Length - from);
        int[] found = [.. stops.Select(s => searched.IndexOf(s, StringComparison.Ordinal)).Where(i => i >= 0)];
        if (found.Length == 0)
            return;
        IsStopped = true;
        _text.Length = from + found.Min();
    }

    // Characters at the end that a stop string may begin with.
    private int HeldBack()
    {
        if (IsStopped)
            return 0;
        string rest = _text.ToString(_told, _text.Length - _told);
        int Beginning(string stop)
        {
            int count = Math.Min(stop.Length - 1, rest.Length);
            while (count > 0 && !rest.EndsWith(stop[..count], StringComparison.Ordinal))
                count--;
            return count;
        }

        return stops.Select(Beginning).DefaultIfEmpty(0).Max();
    }

    private string Tell(int end)
    {
        string told = _text.ToString(_told, end - _told);
        _told = end;
        return told;
    }
}
