using System.Runtime.CompilerServices;

namespace Drover.Tokenization;

/// <summary>A place in a text of valid UTF-8, with the character that stands there.</summary>
internal readonly ref struct Cursor
{
    private readonly ref byte _text;
    private readonly int _length;

    public Cursor(ref byte text, int length, int offset = 0)
    {
        _text = ref text;
        _length = length;
        Offset = offset;
        if (offset < length)
        {
            CodePoint = Utf8Reader.Read(ref Unsafe.Add(ref text, offset), out int size);
            Size = size;
            Class = CharacterClasses.Of(CodePoint);
        }
    }

    public int Offset { get; }

    public int Size { get; }

    public int CodePoint { get; }

    /// <summary>The class of the character; Other at the end.</summary>
    public CharacterClass Class { get; }

    public bool AtEnd => Offset >= _length;

    public Cursor Following => new(ref _text, _length, Offset + Size);

    /// <summary>Where a run of a class that starts here ends.</summary>
    public int Skip(CharacterClass wanted)
    {
        int at = Offset;
        while (at < _length && CharacterClasses.Of(Utf8Reader.Read(ref Unsafe.Add(ref _text, at), out int size)) == wanted)
            at += size;
        return at;
    }
}
