using System.Text.Json;
using Drover.Errors;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Documents;

/// <summary>
/// Records of {"text"} or {"source", "target", "category"}: BOS + text + EOS. Every token but the first is a label; of
/// source and target, those of the target and EOS. A "source" beside "text" says where the text is from and is not read.
/// </summary>
internal sealed class PretrainReader : IDocumentReader
{
    private readonly ITextTokenizer _tokenizer;
    private readonly FieldMap _fields;
    private readonly UsualPretrainFields? _usual;
    private readonly TokenBuffer _ids = new();
    private readonly int[] _bos;
    private readonly int[] _eos;
    private readonly bool _takesEmpty;

    /// <summary>Refuses edges that the tokenizer does not have.</summary>
    /// <exception cref="DroverException">FailedPrecondition.</exception>
    public PretrainReader(ITextTokenizer tokenizer, DatasetSpec spec)
    {
        _tokenizer = tokenizer;
        _fields = new FieldMap(spec.Fields);
        _usual = UsualPretrainFields.For(_fields);
        _bos = Edge(spec.Bos, tokenizer.BosId, "bos", spec.Tokenizer);
        _eos = Edge(spec.Eos, tokenizer.EosId, "eos", spec.Tokenizer);
        // The seed makes a document of BOS and EOS of them.
        _takesEmpty = spec.Packing == Packing.Seed;
    }

    public RawDocument Extract(JsonElement record)
    {
        bool isPair = record.Has(_fields.Target);
        if (isPair && record.Has(_fields.Text))
            throw new RejectedException(RejectReasons.AmbiguousFields, $"there is both \"{_fields.Text}\" and \"{_fields.Target}\"");
        string source = isPair ? record.OptionalText(_fields.Source) ?? "" : "";
        string name = isPair ? _fields.Target : _fields.Text;
        PretrainText text = PretrainText.Of(source, record.RequiredText(name), record.Category(_fields.Category));
        return Fits(text) ? text : throw Empty(name);
    }

    public RawDocument? ExtractUsual(ReadOnlyMemory<byte> json) => _usual?.Read(json) is { } text && Fits(text) ? text : null;

    public RawDocument ExtractText(ReadOnlyMemory<byte> utf8)
    {
        var text = new PretrainText(utf8, 0, JsonFields.NoCategory);
        return Fits(text) ? text : throw Empty("text");
    }

    public DocumentOutcome Tokenize(RawDocument document)
    {
        var text = (PretrainText)document;
        _ids.Clear();
        _ids.Add(_bos);
        _tokenizer.Encode(text.Utf8.Span, _ids);
        _ids.Add(_eos);
        int head = text.SourceBytes > 0 ? LabelBoundary.Find(_tokenizer, _ids.Ids[_bos.Length..^_eos.Length].ToArray(), text.Source) : 0;
        int first = Math.Max(1, head + _bos.Length);
        LabelRange[] labels = first < _ids.Count ? [new LabelRange(first, _ids.Count)] : [];
        return DocumentOutcome.Whole(new TokenizedDocument(_ids.Memory, labels, text.Category, text.Utf8.Length));
    }

    private bool Fits(PretrainText text) => _takesEmpty || !text.IsBlank;

    private static RejectedException Empty(string field) => new(RejectReasons.EmptyText, $"\"{field}\" is empty");

    private static int[] Edge(EdgeToken wanted, int id, string name, string tokenizer)
    {
        if (wanted == EdgeToken.Never || (id < 0 && wanted != EdgeToken.Always))
            return [];
        return id >= 0 ? [id] : throw new DroverException(FailureCode.FailedPrecondition, "NO_EDGE_TOKEN", $"The spec wants {name} always, and the tokenizer '{tokenizer}' has none.");
    }
}
