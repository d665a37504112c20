using System.Text;
using System.Text.Json;
using Drover.DataPrep.Documents;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Conversations;

/// <summary>
/// Conversations as token ids with loss on what the spec says. One that is longer than a row is shortened as the spec says, and rejected
/// whole where no label would be left; either way the missing tokens are counted.
/// </summary>
internal sealed class ConversationReader : IDocumentReader
{
    private readonly ITextTokenizer _tokenizer;
    private readonly DatasetSpec _spec;
    private readonly ConversationParser _parser;
    private readonly ConversationTemplate _template;
    private readonly PartEncoder _encoder;

    /// <summary>Refuses a tokenizer that lacks what the template needs.</summary>
    /// <exception cref="Errors.DroverException">FailedPrecondition.</exception>
    /// <param name="tokenizer">Makes the ids.</param>
    /// <param name="spec">Says what is wanted.</param>
    /// <param name="ownTemplate">The tokenizer's chat template, where the spec wants that one.</param>
    public ConversationReader(ITextTokenizer tokenizer, DatasetSpec spec, string ownTemplate = "")
    {
        (_tokenizer, _spec) = (tokenizer, spec);
        _parser = new ConversationParser(new FieldMap(spec.Fields));
        _template = spec.ConversationTemplate == ConversationTemplates.Own ? new OwnTemplate(ownTemplate, tokenizer).Write : ConversationTemplates.Get(spec.ConversationTemplate);
        _encoder = new PartEncoder(tokenizer, ConversationTemplates.RequiredTokens(spec.ConversationTemplate), spec.ConversationTemplate);
    }

    public RawDocument Extract(JsonElement record) => _parser.Parse(record);

    public RawDocument ExtractText(ReadOnlyMemory<byte> utf8) => throw new RejectedException(RejectReasons.MissingField, "a text file holds no conversations; write them as .jsonl");

    public DocumentOutcome Tokenize(RawDocument document)
    {
        var conversation = (Conversation)document;
        TokenizedDocument whole = Encode(conversation);
        if (whole.Ids.Length <= _spec.MaxLength)
        {
            return whole.Labels.Count > 0
                ? DocumentOutcome.Whole(whole)
                : new DocumentOutcome(null, whole.Ids.Length, RejectReasons.NoAssistantTurn, "no token of it carries loss");
        }

        return _spec.Truncation switch
        {
            Truncation.Reject => Rejected(whole, RejectReasons.LongerThanRow, "it is rejected whole"),
            Truncation.DropLastTurns => Drop(whole, conversation, (rounds, kept) => conversation.Part(0, kept)),
            Truncation.DropFirstTurns => Drop(whole, conversation, (rounds, kept) => conversation.Part(rounds - kept, kept)),
            _ => Cut(whole),
        };
    }

    private TokenizedDocument Encode(Conversation conversation)
    {
        EncodedConversation encoded = _encoder.Encode(_template(conversation));
        int length = encoded.Ids.Length;
        int last = encoded.Answers.Count > 0 ? encoded.Answers[^1].Answer : -1;
        IEnumerable<LabelRange> ranges = _spec.LossOn switch
        {
            LossOn.All => [new LabelRange(0, length)],
            LossOn.LastTurn => encoded.Answers.Where(a => a.Answer == last).Select(a => a.Range),
            _ => encoded.Answers.Select(a => a.Range),
        };
        // Nothing predicts the first token.
        LabelRange[] labels = [.. ranges.Select(r => r with { Start = Math.Max(1, r.Start) }).Where(r => r.Start < r.End)];
        return new TokenizedDocument(encoded.Ids, labels, conversation.Category, encoded.TextBytes);
    }

    private DocumentOutcome Drop(TokenizedDocument whole, Conversation conversation, Func<int, int, Conversation> part)
    {
        int rounds = conversation.Rounds;
        for (int kept = rounds - 1; kept > 0; kept--)
        {
            TokenizedDocument shorter = Encode(part(rounds, kept));
            if (shorter.Ids.Length <= _spec.MaxLength && shorter.Labels.Count > 0)
                return new DocumentOutcome(shorter, whole.Ids.Length, RejectReasons.CutAtMaxLength, $"{Length(whole)}: {rounds - kept} of its {rounds} rounds are not in it");
        }

        return Rejected(whole, RejectReasons.NoLabelInRow, "no round of it fits");
    }

    private DocumentOutcome Cut(TokenizedDocument whole)
    {
        int most = _spec.MaxLength;
        LabelRange[] labels = [.. whole.Labels.Where(r => r.Start < most).Select(r => r with { End = Math.Min(r.End, most) })];
        if (labels.Length == 0)
            return Rejected(whole, RejectReasons.NoLabelInRow, "what carries loss begins after its end");
        int[] kept = whole.Ids[..most].ToArray();
        long bytes = Encoding.UTF8.GetByteCount(_tokenizer.Decode(kept, skipSpecialTokens: true));
        return new DocumentOutcome(new TokenizedDocument(kept, labels, whole.Category, Math.Min(bytes, whole.TextBytes)), whole.Ids.Length, RejectReasons.CutAtMaxLength,
            $"{Length(whole)}: the last {whole.Ids.Length - most} are not in it");
    }

    private DocumentOutcome Rejected(TokenizedDocument whole, string reason, string why) => new(null, whole.Ids.Length, reason, $"{Length(whole)}: {why}");

    private string Length(TokenizedDocument whole) => $"the conversation has {whole.Ids.Length} tokens and a row {_spec.MaxLength}";
}
