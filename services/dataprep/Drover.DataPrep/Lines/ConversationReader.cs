using System.Text;
using System.Text.Json;
using Drover.Tokenization;

namespace Drover.DataPrep.Lines;

/// <summary>
/// Conversations as token ids with loss on what the assistant says, EOS included. One that is longer than a row is cut at
/// the row's length while a label is left, and rejected whole otherwise; either way the missing tokens are counted.
/// </summary>
internal sealed class ConversationReader(ITextTokenizer tokenizer, ConversationTemplate template, int maxLength) : ILineReader
{
    public LineOutcome Read(JsonElement line)
    {
        Conversation conversation = ConversationParser.Parse(line);
        var ids = new List<int>();
        var labels = new List<LabelRange>();
        long bytes = 0;
        for (int i = 0; i < conversation.Exchanges.Count; i++)
            bytes += Append(conversation.Exchanges[i], i == 0 ? conversation.System : "", i == 0 || template.BosPerExchange, ids, labels);

        var document = new TokenizedDocument([.. ids], labels, line.Category(), bytes);
        return ids.Count <= maxLength ? new LineOutcome(document, ids.Count, null, null) : Cut(document);
    }

    private long Append(Exchange exchange, string system, bool bos, List<int> ids, List<LabelRange> labels)
    {
        if (bos && tokenizer.BosId >= 0)
            ids.Add(tokenizer.BosId);
        string prompt = template.Prompt(system, exchange.User);
        string text = exchange.Assistant is null ? prompt : prompt + template.Answer(exchange.Assistant);
        int[] encoded = tokenizer.Encode(text);
        int start = ids.Count;
        ids.AddRange(encoded);
        if (exchange.Assistant is not null)
        {
            int first = start + LabelBoundary.Find(tokenizer, encoded, prompt);
            if (tokenizer.EosId >= 0)
                ids.Add(tokenizer.EosId);
            if (Math.Max(1, first) < ids.Count)
                labels.Add(new LabelRange(Math.Max(1, first), ids.Count));
        }

        return Encoding.UTF8.GetByteCount(text);
    }

    private LineOutcome Cut(TokenizedDocument whole)
    {
        LabelRange[] labels = [.. whole.Labels.Where(r => r.Start < maxLength).Select(r => r with { End = Math.Min(r.End, maxLength) })];
        int length = whole.Ids.Length;
        if (labels.Length == 0)
        {
            return new LineOutcome(null, length, RejectReasons.NoLabelInRow,
                $"the conversation has {length} tokens, a row {maxLength}, and the first answer begins after its end");
        }

        int[] kept = whole.Ids[..maxLength];
        long bytes = Encoding.UTF8.GetByteCount(tokenizer.Decode(kept, skipSpecialTokens: true));
        return new LineOutcome(new TokenizedDocument(kept, labels, whole.Category, Math.Min(bytes, whole.TextBytes)), length, RejectReasons.CutAtMaxLength,
            $"the conversation has {length} tokens and a row {maxLength}: the last {length - maxLength} are not in a row");
    }
}
