using System.Text.Json;
using Drover.DataPrep.Conversations;
using Drover.DataPrep.Documents;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Tests;

/// <summary>What conversations become: templates, loss, truncation.</summary>
public sealed class ConversationTests
{
    private const string Three = """{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U0"},{"role":"assistant","content":"A0"},{"role":"user","content":"U1"},{"role":"assistant","content":"A1"},{"role":"user","content":"U2"},{"role":"assistant","content":"A2"}]}""";
    private static readonly ByteTokenizer Tokenizer = new();

    [Fact]
    public void The_seeds_conversations_are_written_as_it_writes_them()
    {
        TokenizedDocument document = Read(Spec("colossal-llama2"), """{"messages":[{"from":"human","content":"U"},{"from":"assistant","content":"A"},{"from":"human","content":"V"},{"from":"assistant","content":"B"},{"from":"human","content":"W"}]}""").Document!;
        Assert.Equal(
            "<s>A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the human's questions.\n\n"
            + "Human: <s>U</s>Assistant: <s>A</s>Human: <s>V</s>Assistant: <s>B</s>",
            Render(document.Ids.ToArray()));
        Assert.Equal(["<s>A</s>", "<s>B</s>"], Said(document));
    }

    [Fact]
    public void ChatML_keeps_every_message_and_teaches_the_end_of_a_turn()
    {
        TokenizedDocument document = Read(Spec("chatml"), """{"messages":[{"role":"user","content":" U"},{"role":"assistant","content":"","tool_calls":[{"name":"f"}]},{"role":"tool","content":"T"},{"role":"assistant","content":"A"}]}""").Document!;
        Assert.Equal("""
            <|im_start|>user
             U<|im_end|>
            <|im_start|>assistant

            [{"name":"f"}]<|im_end|>
            <|im_start|>tool
            T<|im_end|>
            <|im_start|>assistant
            A<|im_end|>

            """, Render(document.Ids.ToArray()));
        Assert.Equal(["\n[{\"name\":\"f\"}]<|im_end|>", "A<|im_end|>"], Said(document));
    }

    [Fact]
    public void A_template_whose_tokens_the_tokenizer_lacks_is_refused_with_their_names()
    {
        DroverException e = Assert.Throws<DroverException>(() => new ConversationReader(Tokenizer, Spec("llama3")));
        Assert.Equal(FailureCode.FailedPrecondition, e.Code);
        Assert.Contains("<|start_header_id|>", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_tokenizers_own_template_is_written_and_its_special_tokens_are_tokens()
    {
        const string Template = "{{ '<s>' }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% if m.role == 'assistant' %}{{ '</s>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
        var reader = new ConversationReader(new NamedSpecials(), Spec("tokenizer"), Template);
        TokenizedDocument document = reader.Tokenize(reader.Extract(JsonDocument.Parse(Three).RootElement)).Document!;
        Assert.Equal("<s>[system]S[user]U0[assistant]A0</s>[user]U1[assistant]A1</s>[user]U2[assistant]A2</s>", Render(document.Ids.ToArray()));
        Assert.Equal(["A0</s>", "A1</s>", "A2</s>"], Said(document));
        Assert.Equal(3, document.Ids.ToArray().Count(i => i == Tokenizer.EosId));

        const string Marked = "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}!{% endgeneration %}{% else %}({{ m.content }}){% endif %}{% endfor %}";
        reader = new ConversationReader(new NamedSpecials(), Spec("tokenizer"), Marked);
        Assert.Equal(["A0!", "A1!", "A2!"], Said(reader.Tokenize(reader.Extract(JsonDocument.Parse(Three).RootElement)).Document!));

        const string Refusing = "{{ raise_exception('no system turns') }}";
        reader = new ConversationReader(new NamedSpecials(), Spec("tokenizer"), Refusing);
        RejectedException e = Assert.Throws<RejectedException>(() => reader.Tokenize(reader.Extract(JsonDocument.Parse(Three).RootElement)));
        Assert.Equal(RejectReasons.TemplateRefused, e.Reason);
        Assert.Contains("no system turns", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Loss_is_on_what_the_spec_says()
    {
        Assert.Equal([" A0</s>", " A1</s>", " A2</s>"], Said(Read(Spec("plain"), Three).Document!));
        Assert.Equal([" A2</s>"], Said(Read(Spec("plain", s => s.LossOn = LossOn.LastTurn), Three).Document!));
        TokenizedDocument all = Read(Spec("plain", s => s.LossOn = LossOn.All), Three).Document!;
        Assert.Equal([new LabelRange(1, all.Ids.ToArray().Length)], all.Labels);
    }

    [Fact]
    public void What_is_longer_than_a_row_is_shortened_as_the_spec_says_and_always_keeps_a_label()
    {
        int whole = Read(Spec("plain"), Three).TokensIn;
        for (int most = 2; most <= whole; most++)
        {
            foreach (Truncation truncation in Enum.GetValues<Truncation>())
            {
                foreach (LossOn loss in new[] { LossOn.Assistant, LossOn.LastTurn })
                {
                    int length = most;
                    DocumentOutcome outcome = Read(Spec("plain", s => (s.MaxLength, s.Truncation, s.LossOn) = (length, truncation, loss)), Three);
                    Assert.Equal(whole, outcome.TokensIn);
                    Assert.Equal(most < whole, outcome.Reject is not null);
                    if (outcome.Document is null)
                        continue;
                    Assert.InRange(outcome.Document.Ids.ToArray().Length, 2, most);
                    Assert.NotEmpty(outcome.Document.Labels);
                    Assert.All(outcome.Document.Labels, l => Assert.True(l.Start >= 1 && l.Start < l.End && l.End <= outcome.Document.Ids.ToArray().Length));
                }
            }
        }
    }

    [Fact]
    public void Rounds_are_dropped_from_the_end_or_the_start_and_the_system_turn_stays()
    {
        int two = "<s>System: S\nUser: U0\nAssistant: A0</s>User: U1\nAssistant: A1</s>".Length - "<s></s></s>".Length + 3;
        DocumentOutcome last = Read(Spec("plain", s => (s.MaxLength, s.Truncation) = (two, Truncation.DropLastTurns)), Three);
        Assert.Equal("<s>System: S\nUser: U0\nAssistant: A0</s>User: U1\nAssistant: A1</s>", Render(last.Document!.Ids.ToArray()));
        DocumentOutcome first = Read(Spec("plain", s => (s.MaxLength, s.Truncation) = (two, Truncation.DropFirstTurns)), Three);
        Assert.Equal("<s>System: S\nUser: U1\nAssistant: A1</s>User: U2\nAssistant: A2</s>", Render(first.Document!.Ids.ToArray()));
        Assert.Equal(RejectReasons.CutAtMaxLength, first.Reject);
        Assert.Equal(RejectReasons.LongerThanRow, Read(Spec("plain", s => (s.MaxLength, s.Truncation) = (two, Truncation.Reject)), Three).Reject);
    }

    [Theory]
    [InlineData(Packing.BestFit, 1)]
    [InlineData(Packing.OnePerRow, 3)]
    public async Task Conversations_share_rows_or_have_one_each(Packing packing, int rows)
    {
        using var harness = new BuildHarness();
        await harness.PutAsync("inputs/a.json", """[{"instruction":"U","output":"A"},{"instruction":"V","output":"B"},{"instruction":"W","output":"C"}]"""u8.ToArray());
        DatasetSpec spec = BuildTests.Spec("inputs/a.json");
        (spec.Format, spec.ConversationTemplate, spec.Packing, spec.MaxLength) = (DatasetFormat.Sft, "plain", packing, 100);
        using PackedDataset dataset = await harness.BuildAsync(spec);
        Assert.Equal(rows, dataset.RowCount);
        Assert.Equal(3 / rows, dataset.Read(0).DocumentLengths.Length);
        Assert.Equal(9, dataset.Manifest.LabelTokens);
    }

    private static DatasetSpec Spec(string template, Action<DatasetSpec>? change = null)
    {
        var spec = new DatasetSpec { Format = DatasetFormat.Sft, ConversationTemplate = template, MaxLength = 1000 };
        change?.Invoke(spec);
        return spec;
    }

    private static DocumentOutcome Read(DatasetSpec spec, string line)
    {
        var reader = new ConversationReader(Tokenizer, spec);
        return reader.Tokenize(reader.Extract(JsonDocument.Parse(line).RootElement));
    }

    private static string[] Said(TokenizedDocument document) => [.. document.Labels.Select(r => Render(document.Ids.ToArray()[r.Start..r.End]))];

    private static string Render(int[] ids) => string.Concat(ids.Select(i => i == 1 ? "<s>" : i == 2 ? "</s>" : Tokenizer.PieceOf(i)));

    /// <summary>Bytes, and special tokens that have names.</summary>
    private sealed class NamedSpecials : ITextTokenizer
    {
        public TokenizerFamily Family => Tokenizer.Family;

        public int VocabularySize => Tokenizer.VocabularySize;

        public int BosId => Tokenizer.BosId;

        public int EosId => Tokenizer.EosId;

        public int PadId => -1;

        public int UnkId => 0;

        public string ContentHash => Tokenizer.ContentHash;

        public int[] Encode(string text) => Tokenizer.Encode(text);

        public string Decode(IReadOnlyList<int> ids, bool skipSpecialTokens) => Tokenizer.Decode(ids, skipSpecialTokens);

        public string PieceOf(int id) => id switch { 0 => "<unk>", 1 => "<s>", 2 => "</s>", _ => Tokenizer.PieceOf(id) };

        public bool IsSpecial(int id) => Tokenizer.IsSpecial(id);
    }
}
