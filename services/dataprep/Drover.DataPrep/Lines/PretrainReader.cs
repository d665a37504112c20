using System.Text;
using System.Text.Json;
using Drover.Tokenization;

namespace Drover.DataPrep.Lines;

/// <summary>
/// Lines of {"text"} or {"source", "target", "category"}: BOS + text + EOS. Every token but the first is a label; of
/// source and target, those of the target and EOS. A "source" beside "text" says where the text is from and is not read.
/// </summary>
internal sealed class PretrainReader(ITextTokenizer tokenizer) : ILineReader
{
    public LineOutcome Read(JsonElement line)
    {
        bool pair = line.Has("target");
        if (pair && line.Has("text"))
            throw new LineRejectedException(RejectReasons.AmbiguousFields, "there is both \"text\" and \"target\"");
        string source = pair ? line.OptionalText("source") ?? "" : "";
        string text = pair ? line.RequiredText("target") : line.RequiredText("text");
        if (string.IsNullOrWhiteSpace(text))
            throw new LineRejectedException(RejectReasons.EmptyText, pair ? "\"target\" is empty" : "\"text\" is empty");
        string whole = source + text;
        int[] ids = tokenizer.Encode(whole);
        int head = source.Length > 0 ? LabelBoundary.Find(tokenizer, ids, source) : 0;
        bool bos = tokenizer.BosId >= 0;
        bool eos = tokenizer.EosId >= 0;
        int[] document = [.. bos ? [tokenizer.BosId] : Array.Empty<int>(), .. ids, .. eos ? [tokenizer.EosId] : Array.Empty<int>()];
        int first = Math.Max(1, head + (bos ? 1 : 0));
        LabelRange[] labels = first < document.Length ? [new LabelRange(first, document.Length)] : [];
        return new LineOutcome(new TokenizedDocument(document, labels, line.Category(), Encoding.UTF8.GetByteCount(whole)), document.Length, null, null);
    }
}
