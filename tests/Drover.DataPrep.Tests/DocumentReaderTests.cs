using System.Text.Json;
using Drover.DataPrep.Conversations;
using Drover.DataPrep.Documents;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Tests;

public sealed class DocumentReaderTests
{
    private static readonly ByteTokenizer Tokenizer = new();

    [Fact]
    public void All_but_the_first_token_of_plain_text_are_labels()
    {
        TokenizedDocument document = Pretrain("""{"text":"ab","source":"a/file.md"}""").Document!;
        Assert.Equal([1, 3 + 'a', 3 + 'b', 2], document.Ids.ToArray());
        Assert.Equal([new LabelRange(1, 4)], document.Labels);
        Assert.Equal(2, document.TextBytes);
        Assert.Equal(JsonFields.NoCategory, document.Category);
    }

    [Fact]
    public void The_source_carries_no_loss()
    {
        TokenizedDocument document = Pretrain("""{"source":"abc","target":"de","category":"law"}""").Document!;
        Assert.Equal("\u0001abcde\u0002".Length, document.Ids.ToArray().Length);
        Assert.Equal([new LabelRange(4, 7)], document.Labels);
        Assert.Equal("law", document.Category);
    }

    [Fact]
    public void A_token_that_spans_source_and_target_carries_no_loss_and_the_next_one_does()
    {
        // "cd" is one token: BOS a b cd e EOS.
        TokenizedDocument document = Pretrain("""{"source":"abc","target":"de"}""", new ByteTokenizer("cd")).Document!;
        Assert.Equal(6, document.Ids.ToArray().Length);
        Assert.Equal([new LabelRange(4, 6)], document.Labels);
    }

    [Fact]
    public void Bytes_of_the_last_character_of_the_source_belong_to_it()
    {
        // "b中" is one token, so source and whole part before the last character of the source.
        var tokenizer = new ByteTokenizer("中国");
        TokenizedDocument document = Pretrain("""{"source":"a国中","target":"国人"}""", tokenizer).Document!;
        // BOS a 国(3 bytes) [中国] 人(3 bytes) EOS
        Assert.Equal(1 + 1 + 3 + 1 + 3 + 1, document.Ids.ToArray().Length);
        Assert.Equal([new LabelRange(6, 10)], document.Labels);
    }

    [Theory]
    [InlineData("""{"txt":"a"}""", "MISSING_FIELD")]
    [InlineData("""{"text":null}""", "MISSING_FIELD")]
    [InlineData("""{"text":5}""", "WRONG_TYPE")]
    [InlineData("""{"text":" \n "}""", "EMPTY_TEXT")]
    [InlineData("""{"source":"a","target":""}""", "EMPTY_TEXT")]
    [InlineData("""{"text":"a","target":"b"}""", "AMBIGUOUS_FIELDS")]
    [InlineData("""{"text":"\ud800"}""", "INVALID_UTF8")]
    public void A_bad_pretraining_line_is_rejected_with_its_reason(string line, string reason) =>
        Assert.Equal(reason, Assert.Throws<RejectedException>(() => Pretrain(line)).Reason);

    [Fact]
    public void Llama2_conversations_are_written_as_its_authors_write_them()
    {
        TokenizedDocument document = Sft("llama2", """{"messages":[{"role":"system","content":"S"},{"role":"user","content":" U "},{"role":"assistant","content":"A"},{"from":"human","content":"V"},{"from":"assistant","content":"B"}]}""").Document!;
        Assert.Equal("<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A </s><s>[INST] V [/INST] B </s>", Render(document.Ids.ToArray()));
        Assert.Equal([" A </s>", " B </s>"], document.Labels.Select(r => Render(document.Ids.ToArray()[r.Start..r.End])));
    }

    [Fact]
    public void Plain_conversations_are_lines_for_any_tokenizer()
    {
        TokenizedDocument document = Sft("plain", """{"conversations":[{"from":"human","value":"U"},{"from":"gpt","value":"A"},{"from":"human","value":"V"}],"system":"S"}""").Document!;
        Assert.Equal("<s>System: S\nUser: U\nAssistant: A</s>User: V\nAssistant:", Render(document.Ids.ToArray()));
        Assert.Equal([" A</s>"], document.Labels.Select(r => Render(document.Ids.ToArray()[r.Start..r.End])));
    }

    [Fact]
    public void Calls_are_what_the_model_says_and_answers_of_tools_are_not()
    {
        TokenizedDocument document = Sft("plain", """{"conversations":[{"from":"human","value":"U"},{"from":"function_call","value":"F"},{"from":"observation","value":"O"},{"from":"gpt","value":"A"}],"tools":"T"}""").Document!;
        Assert.Equal("<s>System: Tools: T\nUser: U\nAssistant: F</s>User: O\nAssistant: A</s>", Render(document.Ids.ToArray()));
    }

    [Fact]
    public void Text_that_looks_like_a_special_token_stays_text()
    {
        TokenizedDocument document = Sft("llama2", """{"instruction":"</s>","input":"x","output":"<s>"}""").Document!;
        Assert.Equal("<s>[INST] </s>\nx [/INST] <s> </s>", Render(document.Ids.ToArray()));
        Assert.Equal(1, document.Ids.ToArray().Count(i => i == Tokenizer.EosId));
        Assert.Equal(1, document.Ids.ToArray().Count(i => i == Tokenizer.BosId));
    }

    [Theory]
    [InlineData("""{"text":"a"}""", "MISSING_FIELD")]
    [InlineData("""{"messages":{}}""", "WRONG_TYPE")]
    [InlineData("""{"messages":[5]}""", "WRONG_TYPE")]
    [InlineData("""{"messages":[{"content":"a"}]}""", "MISSING_FIELD")]
    [InlineData("""{"messages":[{"role":"user","content":null}]}""", "MISSING_FIELD")]
    [InlineData("""{"messages":[{"role":"user","content":" "}]}""", "EMPTY_TEXT")]
    [InlineData("""{"messages":[{"role":"robot","content":"a"}]}""", "UNKNOWN_ROLE")]
    [InlineData("""{"messages":[{"role":"assistant","content":"a"}]}""", "TURN_ORDER")]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"}]}""", "TURN_ORDER")]
    [InlineData("""{"messages":[{"role":"user","content":"a"}]}""", "NO_ASSISTANT_TURN")]
    [InlineData("""{"messages":[]}""", "NO_ASSISTANT_TURN")]
    [InlineData("""{"instruction":"a","output":"b","history":[["a"]]}""", "WRONG_TYPE")]
    [InlineData("""{"instruction":"a","output":""}""", "EMPTY_TEXT")]
    public void A_bad_conversation_is_rejected_with_its_reason(string line, string reason) =>
        Assert.Equal(reason, Assert.Throws<RejectedException>(() => Sft("llama2", line)).Reason);

    [Fact]
    public void A_long_conversation_is_cut_while_a_label_is_left_and_rejected_when_none_is()
    {
        const string Line = """{"messages":[{"role":"user","content":"0123456789"},{"role":"assistant","content":"abcdef"}]}""";
        // BOS, "User: 0123456789\nAssistant:" (27 bytes): the answer begins at token 28.
        DocumentOutcome cut = Sft("plain", Line, 29);
        Assert.Equal(RejectReasons.CutAtMaxLength, cut.Reject);
        Assert.Equal(29, cut.Document!.Ids.ToArray().Length);
        Assert.Equal([new LabelRange(28, 29)], cut.Document.Labels);
        Assert.Equal(36, cut.TokensIn);
        DocumentOutcome whole = Sft("plain", Line, 28);
        Assert.Null(whole.Document);
        Assert.Equal((RejectReasons.NoLabelInRow, 36), (whole.Reject, whole.TokensIn));
    }

    [Theory]
    [InlineData("""{"text":"plain"}""", true)]
    [InlineData(""" { "meta" : {"a":[1,"}"]} , "text" : "two\nlines \"and\" \\ \/ \t\b\f\r" , "n" : -1.5e3 } """, true)]
    [InlineData("""{"text":"\u4e2d\u6587 \ud83d\ude00 é","category":"\u6cd5"}""", true)]
    [InlineData("""{"text":"first","text":"last","category":""}""", true)]
    [InlineData("""{"source":"q\n","target":"a","category":"law","text_":null}""", true)]
    [InlineData("""{"te\u0078t":"an escaped name"}""", true)]
    [InlineData("""{"text":null,"target":"a"}""", false)]
    [InlineData("""{"text":"a"} x""", false)]
    [InlineData("""{"text":"a",}""", false)]
    [InlineData("""{"text":"a" "b":1}""", false)]
    [InlineData("""{"text":"\x"}""", false)]
    [InlineData("""{"text":"\ud800 "}""", false)]
    [InlineData("""{"text":"\ud800\u0041"}""", false)]
    [InlineData("""{"text":"a","n":01}""", false)]
    [InlineData("""{"text":"a","n":[1,}""", false)]
    [InlineData("""{"text":"open""", false)]
    [InlineData("""["text"]""", false)]
    [InlineData("{\"text\":\"a\tb\"}", false)]
    public void Usual_records_are_read_from_their_bytes_as_from_a_tree_and_others_are_left_to_it(string line, bool isUsual)
    {
        var reader = new PretrainReader(Tokenizer, new DatasetSpec());
        for (int again = 0; again < 2; again++)
        {
            var fast = (PretrainText?)reader.ExtractUsual(System.Text.Encoding.UTF8.GetBytes(line));
            Assert.Equal(isUsual, fast is not null);
            if (fast is null)
                continue;
            var tree = (PretrainText)reader.Extract(Json(line));
            Assert.Equal((tree.Text, tree.Source, tree.Category), (fast.Text, fast.Source, fast.Category));
        }
    }

    private static JsonElement Json(string text) => JsonDocument.Parse(text).RootElement;

    private static DocumentOutcome Pretrain(string line, ITextTokenizer? tokenizer = null) =>
        Read(new PretrainReader(tokenizer ?? Tokenizer, new DatasetSpec()), line);

    private static DocumentOutcome Sft(string template, string line, int maxLength = 1000) =>
        Read(new ConversationReader(Tokenizer, new DatasetSpec { Format = DatasetFormat.Sft, ConversationTemplate = template, MaxLength = maxLength }), line);

    private static DocumentOutcome Read(IDocumentReader reader, string line) => reader.Tokenize(reader.Extract(Json(line)));

    private static string Render(int[] ids) =>
        string.Concat(ids.Select(i => i == 1 ? "<s>" : i == 2 ? "</s>" : Tokenizer.PieceOf(i)));
}
