using System.Text;
using Drover.DataPrep.Documents;
using Drover.Errors;
using Drover.Tokenization;

namespace Drover.DataPrep.Conversations;

/// <summary>A written conversation as ids.</summary>
/// <param name="Ids">All tokens.</param>
/// <param name="Answers">Where the assistant's answers lie, in order: ranges with the number of the answer.</param>
/// <param name="TextBytes">UTF-8 bytes of the text.</param>
internal sealed record EncodedConversation(int[] Ids, IReadOnlyList<(int Answer, LabelRange Range)> Answers, long TextBytes);

/// <summary>Makes ids of template parts: texts between special tokens are tokenized as one, and cut into parts afterwards.</summary>
internal sealed class PartEncoder
{
    private readonly ITextTokenizer _tokenizer;
    private readonly Dictionary<string, int> _special = new(StringComparer.Ordinal);

    /// <summary>Refuses a tokenizer that lacks special tokens.</summary>
    /// <exception cref="DroverException">FailedPrecondition, naming them.</exception>
    public PartEncoder(ITextTokenizer tokenizer, IReadOnlyList<string> required, string template)
    {
        _tokenizer = tokenizer;
        for (int id = 0; id < tokenizer.VocabularySize; id++)
        {
            if (tokenizer.IsSpecial(id))
                _special.TryAdd(tokenizer.PieceOf(id), id);
        }

        string[] missing = [.. required.Where(r => !_special.ContainsKey(r))];
        if (missing.Length > 0)
            throw new DroverException(FailureCode.FailedPrecondition, "NO_TEMPLATE_TOKENS", $"The conversation template '{template}' needs the special tokens {string.Join(", ", missing)}, which the tokenizer does not have. Choose another template, or add them to the tokenizer.");
    }

    /// <summary>Encodes.</summary>
    public EncodedConversation Encode(IEnumerable<TemplatePart> parts)
    {
        var ids = new List<int>();
        var answers = new List<(int Answer, LabelRange Range)>();
        var texts = new List<TemplatePart>();
        long bytes = 0;
        foreach (TemplatePart part in parts)
        {
            int? id = IdOf(part);
            if (id is null)
            {
                texts.Add(part);
                continue;
            }

            bytes += EncodeTexts(texts, ids, answers);
            if (id < 0)
                continue;
            Mark(answers, part.Answer, ids.Count, ids.Count + 1);
            ids.Add(id.Value);
        }

        bytes += EncodeTexts(texts, ids, answers);
        return new EncodedConversation([.. ids], answers, bytes);
    }

    // Null for text; -1 for a token that the tokenizer does without.
    private int? IdOf(TemplatePart part) => part.Kind switch
    {
        PartKind.Bos => _tokenizer.BosId,
        PartKind.Eos => _tokenizer.EosId,
        PartKind.Token when _special.TryGetValue(part.Text, out int id) => id,
        _ => null,
    };

    private long EncodeTexts(List<TemplatePart> texts, List<int> ids, List<(int Answer, LabelRange Range)> answers)
    {
        var text = new StringBuilder();
        foreach (TemplatePart part in texts)
            text.Append(part.Text);
        if (text.Length == 0)
        {
            texts.Clear();
            return 0;
        }

        string whole = text.ToString();
        int[] encoded = _tokenizer.Encode(whole);
        int start = 0, end = 0;
        for (int i = 0; i < texts.Count; i++)
        {
            end += texts[i].Text.Length;
            // Only where an answer begins or ends does it matter which token is whose.
            bool isBorder = i + 1 == texts.Count || texts[i + 1].Answer != texts[i].Answer;
            if (!isBorder)
                continue;
            int next = i + 1 == texts.Count ? encoded.Length : Math.Max(start, LabelBoundary.Find(_tokenizer, encoded, whole[..end]));
            Mark(answers, texts[i].Answer, ids.Count + start, ids.Count + next);
            start = next;
        }

        ids.AddRange(encoded);
        texts.Clear();
        return Encoding.UTF8.GetByteCount(whole);
    }

    private static void Mark(List<(int Answer, LabelRange Range)> answers, int answer, int start, int end)
    {
        if (answer < 0 || start == end)
            return;
        if (answers.Count > 0 && answers[^1].Answer == answer && answers[^1].Range.End == start)
            answers[^1] = (answer, new LabelRange(answers[^1].Range.Start, end));
        else
            answers.Add((answer, new LabelRange(start, end)));
    }
}
