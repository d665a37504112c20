using System.Buffers;
using System.Text;
using Drover.Formats.SentencePiece;

namespace Drover.Tokenization;

/// <summary>Finds names of special tokens in a text: the leftmost, and of those that begin there the longest.</summary>
internal sealed class SpecialTokenFinder
{
    private readonly (byte[] Name, int Id)[] _tokens;
    private readonly SearchValues<byte> _first;

    public SpecialTokenFinder(Vocabulary vocabulary)
    {
        _tokens = [.. vocabulary.Pieces
            .Select((piece, id) => (piece, id))
            .Where(p => p.piece.Kind is SentencePieceKind.Control or SentencePieceKind.Unknown && p.piece.Text.Length > 0)
            .Select(p => (Encoding.UTF8.GetBytes(p.piece.Text), p.id))
            .OrderByDescending(p => p.Item1.Length)];
        _first = SearchValues.Create([.. _tokens.Select(t => t.Name[0]).Distinct()]);
    }

    /// <summary>The place, the length in bytes and the id of the first; its length is 0, at the end of the text, when there is none.</summary>
    public (int At, int Length, int Id) Find(ReadOnlySpan<byte> text)
    {
        for (int at = 0; ; at++)
        {
            int next = text[at..].IndexOfAny(_first);
            if (next < 0)
                return (text.Length, 0, -1);
            at += next;
            foreach ((byte[] name, int id) in _tokens)
            {
                if (text[at..].StartsWith(name))
                    return (at, name.Length, id);
            }
        }
    }
}
