using System.IO.Hashing;
using Drover.DataPrep.Sources;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Building;

/// <summary>Takes the bytes of one source as they pass, and says where its pieces begin and end: after a line's end, where the format allows.</summary>
/// <param name="source">Index of the source.</param>
/// <param name="format">Of the source.</param>
/// <param name="unit">Of text files.</param>
/// <param name="pieceBytes">A piece ends with the line that reaches this.</param>
/// <param name="pieces">Takes the pieces.</param>
internal sealed class SourceCutter(int source, SourceFormat format, TextUnit unit, long pieceBytes, List<PlannedPiece> pieces)
{
    private readonly XxHash128 _hash = new();
    private RecordShape? _shape;
    private long _position;
    private long _line = 1;
    private long _pieceStart;
    private long _pieceLine = 1;
    // Whether the line that is being read has nothing but white space so far.
    private bool _isBlank = true;

    public void Take(ReadOnlySpan<byte> bytes)
    {
        _shape ??= ShapeOf(bytes);
        bool cuts = format.IsCuttable && _shape is (RecordShape.Lines or RecordShape.Text);
        int unhashed = 0;
        for (int at = 0; at < bytes.Length;)
        {
            int end = cuts ? bytes[at..].IndexOf((byte)'\n') : -1;
            int next = end < 0 ? bytes.Length : at + end + 1;
            _isBlank = _isBlank && bytes[at..next].Trim(" \t\r\n"u8).IsEmpty;
            _position += next - at;
            at = next;
            if (end < 0)
                continue;
            _line++;
            if (_position - _pieceStart >= pieceBytes && (unit != TextUnit.Paragraph || _shape != RecordShape.Text || _isBlank))
            {
                _hash.Append(bytes[unhashed..at]);
                unhashed = at;
                EndPiece();
            }

            _isBlank = true;
        }

        _hash.Append(bytes[unhashed..]);
    }

    public void Finish()
    {
        if (_position > _pieceStart)
            EndPiece();
    }

    private void EndPiece()
    {
        pieces.Add(new PlannedPiece(source, _pieceStart, _position - _pieceStart, _pieceLine, _shape!.Value, Convert.ToHexStringLower(_hash.GetHashAndReset())));
        (_pieceStart, _pieceLine) = (_position, _line);
    }

    private RecordShape ShapeOf(ReadOnlySpan<byte> head)
    {
        if (!format.IsCuttable || format.Shape != RecordShape.LinesOrArray)
            return format.Shape;
        return head.TrimStart(" \t\r\n\uFEFF"u8) is [(byte)'[', ..] ? RecordShape.Array : RecordShape.Lines;
    }
}
