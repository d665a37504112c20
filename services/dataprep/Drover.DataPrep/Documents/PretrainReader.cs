using System.Text;
using System.Text.Json;
using Drover.Errors;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Documents;

/// <summary>The text of a pretraining document; only the target of a source and target carries loss.</summary>
internal sealed record PretrainText(string Source, string Target, string Category) : RawDocument(Category)
{
    public override string Text => Source + Target;
}

/// <summary>
/// Records of {"text"} or {"source", "target", "category"}: BOS + text + EOS. Every token but the first is a label; of
/// source and target, those of the target and EOS. A "source" beside "text" says where the text is from and is not read.
/// </summary>
internal sealed class PretrainReader : IDocumentReader
{
    private readonly ITextTokenizer _tokenizer;
    private readonly FieldMap _fields;
    private readonly int[] _bos;
    private readonly int[] _eos;
    private readonly bool _takesEmpty;

    /// <summary>Refuses edges that the tokenizer does not have.</summary>
    /// <exception cref="DroverException">FailedPrecondition.</exception>
    public PretrainReader(ITextTokenizer tokenizer, DatasetSpec spec)
    {
        _tokenizer = tokenizer;
        _fields = new FieldMap(spec.Fields);
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
        return Checked(new PretrainText(source, record.RequiredText(name), record.Category(_fields.Category)), name);
    }

    public RawDocument Extract(string text) => Checked(new PretrainText("", text, JsonFields.NoCategory), "text");

    public DocumentOutcome Tokenize(RawDocument document)
    {
        var text = (PretrainText)document;
        string whole = text.Text;
        int[] ids = _tokenizer.Encode(whole);
        int head = text.Source.Length > 0 ? LabelBoundary.Find(_tokenizer, ids, text.Source) : 0;
        int[] tokens = [.. _bos, .. ids, .. _eos];
        int first = Math.Max(1, head + _bos.Length);
        LabelRange[] labels = first < tokens.Length ? [new LabelRange(first, tokens.Length)] : [];
        return DocumentOutcome.Whole(new TokenizedDocument(tokens, labels, text.Category, Encoding.UTF8.GetByteCount(whole)));
    }

    private PretrainText Checked(PretrainText text, string field) => string.IsNullOrWhiteSpace(text.Target) && !_takesEmpty
        ? throw new RejectedException(RejectReasons.EmptyText, $"\"{field}\" is empty")
        : text;

    private static int[] Edge(EdgeToken wanted, int id, string name, string tokenizer)
    {
        if (wanted == EdgeToken.Never || (id < 0 && wanted != EdgeToken.Always))
            return [];
        return id >= 0 ? [id] : throw new DroverException(FailureCode.FailedPrecondition, "NO_EDGE_TOKEN", $"The spec wants {name} always, and the tokenizer '{tokenizer}' has none.");
    }
}
