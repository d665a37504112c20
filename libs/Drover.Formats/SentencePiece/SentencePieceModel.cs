using Drover.Errors;

namespace Drover.Formats.SentencePiece;

/// <summary>A piece of a SentencePiece model; its id is its place in the list.</summary>
/// <param name="Text">The text, with U+2581 for a space.</param>
/// <param name="Score">Greater merges earlier.</param>
/// <param name="Kind">What it is.</param>
public sealed record SentencePiece(string Text, float Score, SentencePieceKind Kind);

/// <summary>
/// <c>tokenizer.model</c> of SentencePiece: pieces, trainer spec and normalizer spec. Fields that Drover has no use for are
/// written back as they were. Layout: sentencepiece_model.proto of github.com/google/sentencepiece.
/// </summary>
public sealed class SentencePieceModel
{
    /// <summary>The name of the file.</summary>
    public const string FileName = "tokenizer.model";

    private const int PiecesField = 1;
    private const int TrainerField = 2;
    private const int NormalizerField = 3;
    private const int BpeModel = 2;
    private readonly List<ProtoField> _trainer;
    private readonly List<ProtoField> _normalizer;
    private readonly List<ProtoField> _others;

    private SentencePieceModel(IReadOnlyList<SentencePiece> pieces, List<ProtoField> trainer, List<ProtoField> normalizer, List<ProtoField> others)
    {
        Pieces = pieces;
        _trainer = trainer;
        _normalizer = normalizer;
        _others = others;
    }

    /// <summary>The vocabulary, by id.</summary>
    public IReadOnlyList<SentencePiece> Pieces { get; }

    /// <summary>Whether a space is put before every text.</summary>
    public bool AddDummyPrefix => Flag(_normalizer, 3, true);

    /// <summary>Id of beginning-of-sequence, -1 for none.</summary>
    public int BosId => Id(41, 1);

    /// <summary>Id of end-of-sequence, -1 for none.</summary>
    public int EosId => Id(42, 2);

    /// <summary>Id of padding, -1 for none.</summary>
    public int PadId => Id(43, -1);

    /// <summary>Id of the unknown token.</summary>
    public int UnkId => Id(40, 0);

    /// <summary>A new model of LLaMA-2's kind: BPE, byte fallback, identity normalizer, dummy prefix.</summary>
    public static SentencePieceModel Create(IReadOnlyList<SentencePiece> pieces) => new(
        pieces,
        [
            ProtoField.Number32(3, BpeModel),
            ProtoField.Number32(4, (ulong)pieces.Count),
            ProtoField.Number32(23, 1), // split_digits
            ProtoField.Number32(24, 0), // treat_whitespace_as_suffix
            ProtoField.Number32(35, 1), // byte_fallback
            ProtoField.Number32(40, 0),
            ProtoField.Number32(41, 1),
            ProtoField.Number32(42, 2),
            ProtoField.Number32(43, ulong.MaxValue), // no padding: -1
        ],
        [ProtoField.Text(1, "identity"), ProtoField.Number32(3, 1), ProtoField.Number32(4, 0), ProtoField.Number32(5, 1)],
        []);

    /// <summary>Reads a model and refuses by name what Drover cannot encode with.</summary>
    /// <param name="bytes">The file.</param>
    /// <param name="file">For messages.</param>
    /// <exception cref="DroverException">DataLoss for damaged bytes, FailedPrecondition for what is not supported.</exception>
    public static SentencePieceModel Parse(ReadOnlyMemory<byte> bytes, string file)
    {
        SentencePieceModel model = Read(bytes, file);
        model.CheckSupported(file);
        return model;
    }

    /// <summary>
    /// The pieces of any SentencePiece model, of those kinds too that Drover cannot encode with (unigram, other normalizers): a vocabulary
    /// to take pieces from.
    /// </summary>
    /// <exception cref="DroverException">DataLoss for damaged bytes.</exception>
    public static IReadOnlyList<SentencePiece> ReadPieces(ReadOnlyMemory<byte> bytes, string file) => Read(bytes, file).Pieces;

    private static SentencePieceModel Read(ReadOnlyMemory<byte> bytes, string file)
    {
        var pieces = new List<SentencePiece>();
        var others = new List<ProtoField>();
        List<ProtoField> trainer = [], normalizer = [];
        try
        {
            foreach (ProtoField field in ProtoField.Parse(bytes))
            {
                if (field is { Number: PiecesField, Wire: 2 })
                    pieces.Add(ParsePiece(field.Bytes));
                else if (field is { Number: TrainerField, Wire: 2 })
                    trainer = ProtoField.Parse(field.Bytes);
                else if (field is { Number: NormalizerField, Wire: 2 })
                    normalizer = ProtoField.Parse(field.Bytes);
                else
                    others.Add(field);
            }
        }
        catch (FormatException e)
        {
            throw Corrupt(file, e.Message, e);
        }

        if (pieces.Count == 0)
            throw Corrupt(file, "it holds no pieces");
        return new SentencePieceModel(pieces, trainer, normalizer, others);
    }

    /// <summary>The same settings over another list of pieces.</summary>
    public SentencePieceModel WithPieces(IReadOnlyList<SentencePiece> pieces)
    {
        List<ProtoField> trainer = [.. _trainer.Select(f => f.Number == 4 ? ProtoField.Number32(4, (ulong)pieces.Count) : f)];
        return new SentencePieceModel(pieces, trainer, _normalizer, _others);
    }

    /// <summary>The file's bytes.</summary>
    public byte[] ToBytes()
    {
        var fields = new List<ProtoField>(Pieces.Count + 8);
        foreach (SentencePiece piece in Pieces)
        {
            List<ProtoField> parts = [ProtoField.Text(1, piece.Text), ProtoField.Float(2, piece.Score)];
            if (piece.Kind != SentencePieceKind.Normal)
                parts.Add(ProtoField.Number32(3, (ulong)piece.Kind));
            fields.Add(ProtoField.Message(PiecesField, parts));
        }

        fields.Add(ProtoField.Message(TrainerField, _trainer));
        fields.Add(ProtoField.Message(NormalizerField, _normalizer));
        fields.AddRange(_others);
        return ProtoField.Write(fields);
    }

    private static SentencePiece ParsePiece(ReadOnlyMemory<byte> message)
    {
        string? text = null;
        float score = 0;
        var kind = SentencePieceKind.Normal;
        foreach (ProtoField field in ProtoField.Parse(message))
        {
            if (field is { Number: 1, Wire: 2 })
                text = field.AsText;
            else if (field is { Number: 2, Wire: 5 })
                score = field.AsFloat;
            else if (field is { Number: 3, Wire: 0 })
                kind = (SentencePieceKind)field.Value;
        }

        return text is { Length: > 0 } && Enum.IsDefined(kind)
            ? new SentencePiece(text, score, kind)
            : throw new FormatException("a piece has no text or an unknown kind");
    }

    private void CheckSupported(string file)
    {
        int type = (int)Last(_trainer, 3, 1);
        if (type != BpeModel)
            throw Unsupported(file, $"it is a {type switch { 1 => "unigram", 3 => "word", 4 => "character", _ => $"type {type}" }} model; LLaMA's are BPE");
        if (!Flag(_trainer, 35, false))
            throw Unsupported(file, "it has no byte fallback (trainer_spec.byte_fallback)");
        if (Flag(_trainer, 24, false))
            throw Unsupported(file, "it writes spaces after words (trainer_spec.treat_whitespace_as_suffix)");
        if (_normalizer.Any(f => f.Number == 2 && f.Bytes.Length > 0))
            throw Unsupported(file, $"its normalizer is '{_normalizer.LastOrDefault(f => f.Number == 1).AsText}' and only 'identity' is supported");
        if (Flag(_normalizer, 4, true))
            throw Unsupported(file, "it removes extra spaces (normalizer_spec.remove_extra_whitespaces)");
        if (!Flag(_normalizer, 5, true))
            throw Unsupported(file, "it does not escape spaces (normalizer_spec.escape_whitespaces)");
        if (Pieces.FirstOrDefault(p => p.Kind == SentencePieceKind.UserDefined) is { } piece)
            throw Unsupported(file, $"it has user-defined pieces, e.g. '{piece.Text}'");
        if (Pieces.Count(p => p.Kind == SentencePieceKind.Byte) != 256)
            throw Corrupt(file, "it has not all of the 256 byte pieces");
    }

    private int Id(int field, int fallback)
    {
        int id = (int)(long)Last(_trainer, field, (ulong)(long)fallback);
        return id >= 0 && id < Pieces.Count ? id : -1;
    }

    private static bool Flag(List<ProtoField> fields, int number, bool fallback) => Last(fields, number, fallback ? 1u : 0u) != 0;

    private static ulong Last(List<ProtoField> fields, int number, ulong fallback)
    {
        int at = fields.FindLastIndex(f => f.Number == number && f.Wire == 0);
        return at < 0 ? fallback : fields[at].Value;
    }

    private static DroverException Corrupt(string file, string why, Exception? inner = null) =>
        new(FailureCode.DataLoss, "CORRUPT_TOKENIZER_MODEL", $"'{file}' is not a sound SentencePiece model: {why}. Fetch it again.", inner);

    private static DroverException Unsupported(string file, string why) =>
        new(FailureCode.FailedPrecondition, "UNSUPPORTED_TOKENIZER", $"'{file}' cannot be used: {why}.");
}
