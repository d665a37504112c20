using System.Runtime.InteropServices;
using System.Text;

namespace Drover.Benchmarks.DataPrep;

/// <summary>
/// Text that was never written, of the words and turns of some that was. It goes along the texts it was made of, and about every eighth word or
/// character takes another place that follows the same two: so words are as frequent as they are, and sentences do not come twice. A tokenizer
/// that remembers what it has seen is flattered by repeated text.
/// </summary>
internal sealed class NovelText
{
    private readonly string[] _units;
    private readonly Dictionary<(string, string), List<int>> _places = [];

    /// <summary>Learns from texts.</summary>
    public NovelText(IEnumerable<string> texts)
    {
        _units = [.. texts.SelectMany(Units)];
        for (int i = 2; i < _units.Length; i++)
            (CollectionsMarshal.GetValueRefOrAddDefault(_places, (_units[i - 2], _units[i - 1]), out _) ??= []).Add(i);
    }

    /// <summary>A document of about so many characters.</summary>
    public string Next(int characters, Random random)
    {
        var text = new StringBuilder(characters + 16);
        int at = random.Next(2, _units.Length);
        while (text.Length < characters)
        {
            text.Append(_units[at++]);
            if (at == _units.Length)
                at = random.Next(2, _units.Length);
            else if (random.Next(8) == 0 && _places[(_units[at - 2], _units[at - 1])] is { Count: > 1 } places)
                at = places[random.Next(places.Count)];
        }

        return text.ToString();
    }

    // Words with what stands before them up to the last space; each character of scripts without spaces.
    private static IEnumerable<string> Units(string text)
    {
        int start = 0;
        for (int i = 1; i <= text.Length; i++)
        {
            if (i < text.Length && (char.IsLowSurrogate(text[i]) || (text[i] < 0x2E80 && text[i] is not (' ' or '\n') && text[i - 1] < 0x2E80)))
                continue;
            yield return string.Intern(text[start..i]);
            start = i;
        }
    }
}
