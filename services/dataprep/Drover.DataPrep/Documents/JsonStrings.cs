using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace Drover.DataPrep.Documents;

/// <summary>
/// Reads JSON strings: one without escapes stays where it is, the others are written to memory that is used again. The system's reader
/// goes byte by byte through a string that has an escape, and every text of several lines has one.
/// </summary>
internal sealed class JsonStrings
{
    private static readonly SearchValues<byte> Special = SearchValues.Create([.. Enumerable.Range(0, 0x20).Select(b => (byte)b), (byte)'"', (byte)'\\']);
    private byte[] _unescaped = new byte[1 << 16];
    private int _count;

    /// <summary>Forgets what was read before.</summary>
    public void Clear() => _count = 0;

    /// <summary>Goes over a string and the white space behind it.</summary>
    /// <param name="json">Valid UTF-8.</param>
    /// <param name="at">Where it begins with its quote; then, what follows.</param>
    /// <param name="place">Where its text is.</param>
    /// <returns>False for what is no well-formed string of Unicode text.</returns>
    public bool TryRead(ReadOnlySpan<byte> json, ref int at, out Place place)
    {
        place = default;
        if (at >= json.Length || json[at] != '"')
            return false;
        int start = at + 1;
        int end = json[start..].IndexOfAny(Special);
        if (end < 0)
            return false;
        if (json[start + end] == '"')
        {
            place = new Place(false, start, end);
            at = SkipSpace(json, start + end + 1);
            return true;
        }

        int first = _count;
        if (!TryUnescape(json, ref start))
            return false;
        place = new Place(true, first, _count - first);
        at = SkipSpace(json, start);
        return true;
    }

    /// <summary>The bytes of a string that was read.</summary>
    public ReadOnlySpan<byte> BytesOf(ReadOnlySpan<byte> json, Place place) => (place.IsUnescaped ? _unescaped : json).Slice(place.Start, place.Length);

    /// <summary>The same; valid until the next record.</summary>
    public ReadOnlyMemory<byte> MemoryOf(ReadOnlyMemory<byte> json, Place place) => (place.IsUnescaped ? _unescaped : json).Slice(place.Start, place.Length);

    /// <summary>The first place from one on that is no white space.</summary>
    public static int SkipSpace(ReadOnlySpan<byte> json, int at)
    {
        while (at < json.Length && json[at] is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n')
            at++;
        return at;
    }

    /// <summary>Goes over a character and the white space behind it, if it is there.</summary>
    public static bool Take(ReadOnlySpan<byte> json, ref int at, byte wanted)
    {
        if (at >= json.Length || json[at] != wanted)
            return false;
        at = SkipSpace(json, at + 1);
        return true;
    }

    // From behind the opening quote to behind the closing one. What is unescaped has fewer bytes than what is written.
    private bool TryUnescape(ReadOnlySpan<byte> json, ref int at)
    {
        if (_unescaped.Length < _count + json.Length - at)
            Array.Resize(ref _unescaped, 2 * (_count + json.Length - at));
        while (true)
        {
            ReadOnlySpan<byte> rest = json[at..];
            int plain = rest.IndexOfAny(Special);
            if (plain < 0)
                return false;
            rest[..plain].CopyTo(_unescaped.AsSpan(_count));
            _count += plain;
            at += plain + 1;
            if (rest[plain] == '"')
                return true;
            if (rest[plain] != '\\' || at >= json.Length)
                return false;
            byte escape = json[at++];
            int letter = escape switch
            {
                (byte)'n' => '\n',
                (byte)'"' or (byte)'\\' or (byte)'/' => escape,
                (byte)'t' => '\t',
                (byte)'r' => '\r',
                (byte)'b' => '\b',
                (byte)'f' => '\f',
                (byte)'u' => Unicode(json, ref at),
                _ => -1,
            };
            if (letter < 0)
                return false;
            _count += new Rune(letter).EncodeToUtf8(_unescaped.AsSpan(_count));
        }
    }

    // Four hex digits, or two times four of a surrogate pair; -1 for anything else.
    private static int Unicode(ReadOnlySpan<byte> json, ref int at)
    {
        int unit = Hex(json, ref at);
        if (unit < 0 || !char.IsSurrogate((char)unit))
            return unit;
        if (!char.IsHighSurrogate((char)unit) || !json[at..].StartsWith("\\u"u8))
            return -1;
        at += 2;
        int low = Hex(json, ref at);
        return low >= 0 && char.IsLowSurrogate((char)low) ? char.ConvertToUtf32((char)unit, (char)low) : -1;
    }

    private static int Hex(ReadOnlySpan<byte> json, ref int at)
    {
        const int digits = 4;
        if (json.Length - at < digits || !Utf8Parser.TryParse(json.Slice(at, digits), out int value, out int used, 'x') || used != digits)
            return -1;
        at += digits;
        return value;
    }

    /// <summary>Where a string's text is: in what was unescaped, or in the JSON.</summary>
    public readonly record struct Place(bool IsUnescaped, int Start, int Length);
}
