namespace Drover.DataPrep.Sources;

/// <summary>
/// Cuts bytes into records: lines, or the elements of one JSON array. Holds no more than one record; one that is longer than allowed
/// is passed over and told by its length.
/// </summary>
/// <param name="source">Read once, to its end.</param>
/// <param name="isArray">Records are the elements of an array; null: told by the first byte that is no white space.</param>
/// <param name="mostBytes">Longest record.</param>
internal sealed class RecordStream(Stream source, bool? isArray, int mostBytes)
{
    private const int FirstBufferBytes = 1 << 18;
    private byte[] _buffer = new byte[FirstBufferBytes];
    private int _start;
    private int _end;
    private bool _ended;
    private bool _begun;
    private ArrayScanner? _array;

    /// <summary>Whether records are elements of an array; known once the first was asked for.</summary>
    public bool IsArray => _array is not null;

    /// <summary>Bytes of the last record, without its line end or comma; empty when it was too long. Valid until the next.</summary>
    public ReadOnlyMemory<byte> Record { get; private set; }

    /// <summary>Bytes of the last record when it was longer than allowed; else 0.</summary>
    public long TooLong { get; private set; }

    /// <summary>Whether the last record had a line end, or what ends an element.</summary>
    public bool IsTerminated { get; private set; }

    /// <summary>Whether the bytes ended inside the array.</summary>
    public bool IsUnclosed => _ended && _array is { IsOver: false };

    /// <summary>Goes to the next record.</summary>
    /// <returns>False at the end.</returns>
    public bool Next()
    {
        if (!_begun)
            Begin();
        if (_array is { IsOver: true })
            return false;
        int scanned = 0;
        long passedOver = 0;
        while (true)
        {
            int length = FindEnd(_buffer.AsSpan(_start, _end - _start), scanned, out int separator);
            if (length >= 0)
            {
                Take(length, separator, passedOver);
                return true;
            }

            scanned = _end - _start;
            if (_ended)
            {
                Take(scanned, 0, passedOver);
                return scanned > 0 || passedOver > 0;
            }

            if (scanned >= mostBytes)
            {
                passedOver += scanned;
                _start = _end;
                scanned = 0;
            }

            Fill();
        }
    }

    private void Begin()
    {
        _begun = true;
        while (_end - _start < 3 && !_ended)
            Fill();
        if (_buffer.AsSpan(_start, _end - _start).StartsWith("\uFEFF"u8))
            _start += 3;
        if (isArray == false)
            return;
        // White space stays where it is until it is known that no lines are to be counted.
        int skipped = 0;
        while (true)
        {
            while (_start + skipped < _end && _buffer[_start + skipped] is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n')
                skipped++;
            if (_start + skipped < _end || _ended)
                break;
            Fill();
        }

        if (_start + skipped == _end || _buffer[_start + skipped] != '[')
            return;
        _start += skipped + 1;
        _array = new ArrayScanner();
    }

    private int FindEnd(ReadOnlySpan<byte> bytes, int from, out int separator)
    {
        separator = 1;
        if (_array is not null)
            return _array.FindEnd(bytes, from);
        int end = bytes[from..].IndexOf((byte)'\n');
        return end < 0 ? -1 : from + end;
    }

    private void Take(int length, int separator, long passedOver)
    {
        TooLong = passedOver > 0 || length > mostBytes ? passedOver + length : 0;
        Record = TooLong > 0 ? default : _buffer.AsMemory(_start, length);
        _start += length + separator;
        IsTerminated = separator > 0;
    }

    private void Fill()
    {
        if (_start > 0)
        {
            Buffer.BlockCopy(_buffer, _start, _buffer, 0, _end - _start);
            _end -= _start;
            _start = 0;
        }

        if (_end == _buffer.Length)
            Array.Resize(ref _buffer, (int)Math.Min(2L * _buffer.Length, Math.Max(_buffer.Length + 1L, Array.MaxLength)));
        int read = source.Read(_buffer, _end, _buffer.Length - _end);
        _end += read;
        _ended = read == 0;
    }

    /// <summary>Finds where elements end: at a comma or bracket outside strings and inner values. Does not check the JSON itself.</summary>
    private sealed class ArrayScanner
    {
        private int _depth;
        private bool _inString;
        private bool _escaped;

        /// <summary>The closing bracket was met.</summary>
        public bool IsOver { get; private set; }

        public int FindEnd(ReadOnlySpan<byte> bytes, int from)
        {
            for (int i = from; i < bytes.Length && !IsOver; i++)
            {
                byte b = bytes[i];
                if (_escaped)
                    _escaped = false;
                else if (_inString)
                    (_inString, _escaped) = (b != '"', b == '\\');
                else if (b == '"')
                    _inString = true;
                else if (b is (byte)'{' or (byte)'[')
                    _depth++;
                else if (b == '}' || (b == ']' && _depth > 0))
                    _depth--;
                else if (b == ',' && _depth == 0)
                    return i;
                else if (b == ']')
                    return End(i);
            }

            return -1;
        }

        private int End(int at)
        {
            IsOver = true;
            return at;
        }
    }
}
