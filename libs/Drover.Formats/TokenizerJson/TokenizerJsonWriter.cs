using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Drover.Formats.TokenizerJson;

/// <summary>
/// Writes <c>tokenizer.json</c> with explicit merges. LLaMA-2's family gets the Prepend and Replace normalizers, which do what
/// SentencePiece does with leading spaces (Metaspace does not). Special tokens stand in model.vocab too, so that
/// ids stay where they are when pieces follow them.
/// </summary>
public static class TokenizerJsonWriter
{
    private const string Space = "▁";

    /// <summary>The file's bytes.</summary>
    /// <param name="model">What to write; every id must have a piece.</param>
    /// <param name="bos">The token put before every text by the post-processor, null for none.</param>
    public static byte[] Write(TokenizerJsonModel model, int? bos)
    {
        var buffer = new ArrayBufferWriter<byte>(1 << 20);
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("version", "1.0");
            json.WriteNull("truncation");
            json.WriteNull("padding");
            WriteAddedTokens(json, model);
            WriteText(json, model);
            if (bos is { } id)
                WritePostProcessor(json, model.Pieces[id]!, id);
            else
                json.WriteNull("post_processor");
            WriteDecoder(json, model);
            WriteModel(json, model);
            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    private static void WriteAddedTokens(Utf8JsonWriter json, TokenizerJsonModel model)
    {
        json.WriteStartArray("added_tokens");
        foreach (int id in model.Special.Order())
        {
            json.WriteStartObject();
            json.WriteNumber("id", id);
            json.WriteString("content", model.Pieces[id]);
            json.WriteBoolean("single_word", false);
            json.WriteBoolean("lstrip", false);
            json.WriteBoolean("rstrip", false);
            json.WriteBoolean("normalized", false);
            json.WriteBoolean("special", true);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteText(Utf8JsonWriter json, TokenizerJsonModel model)
    {
        if (model.ByteLevel)
        {
            WriteByteLevelText(json, model);
            return;
        }

        if (model.Prefix == DummyPrefix.UnlessSpace)
        {
            json.WriteNull("normalizer");
            json.WritePropertyName("pre_tokenizer");
            Step(json, "Metaspace", () =>
            {
                json.WriteString("replacement", Space);
                json.WriteString("prepend_scheme", "first");
                json.WriteBoolean("split", false);
            });
            return;
        }

        json.WriteStartObject("normalizer");
        json.WriteString("type", "Sequence");
        json.WriteStartArray("normalizers");
        if (model.Prefix == DummyPrefix.Always)
            Step(json, "Prepend", () => json.WriteString("prepend", Space));
        Step(json, "Replace", () => Replace(json, " ", Space));
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteNull("pre_tokenizer");
    }

    private static void WriteByteLevelText(Utf8JsonWriter json, TokenizerJsonModel model)
    {
        json.WritePropertyName("normalizer");
        if (model.NormalizesToC)
            Step(json, "NFC", () => { });
        else
            json.WriteNullValue();
        json.WritePropertyName("pre_tokenizer");
        if (model.Words == WordPattern.Gpt2)
        {
            Step(json, "ByteLevel", () => ByteLevelFlags(json, trim: true, regex: true));
            return;
        }

        Step(json, "Sequence", () =>
        {
            json.WriteStartArray("pretokenizers");
            Step(json, "Split", () =>
            {
                json.WriteStartObject("pattern");
                json.WriteString("Regex", model.Words == WordPattern.Qwen ? TokenizerJsonModel.QwenPattern : TokenizerJsonModel.Llama3Pattern);
                json.WriteEndObject();
                json.WriteString("behavior", "Isolated");
                json.WriteBoolean("invert", false);
            });
            Step(json, "ByteLevel", () => ByteLevelFlags(json, trim: true, regex: false));
            json.WriteEndArray();
        });
    }

    private static void WritePostProcessor(Utf8JsonWriter json, string bos, int id)
    {
        json.WritePropertyName("post_processor");
        Step(json, "TemplateProcessing", () =>
        {
            Template(json, "single", bos, ["A"]);
            Template(json, "pair", bos, ["A", "B"]);
            json.WriteStartObject("special_tokens");
            json.WriteStartObject(bos);
            json.WriteString("id", bos);
            json.WriteStartArray("ids");
            json.WriteNumberValue(id);
            json.WriteEndArray();
            json.WriteStartArray("tokens");
            json.WriteStringValue(bos);
            json.WriteEndArray();
            json.WriteEndObject();
            json.WriteEndObject();
        });
    }

    private static void Template(Utf8JsonWriter json, string name, string bos, string[] sequences)
    {
        json.WriteStartArray(name);
        for (int i = 0; i < sequences.Length; i++)
        {
            WritePart(json, "SpecialToken", bos, i);
            WritePart(json, "Sequence", sequences[i], i);
        }

        json.WriteEndArray();
    }

    private static void WritePart(Utf8JsonWriter json, string kind, string id, int typeId)
    {
        json.WriteStartObject();
        json.WriteStartObject(kind);
        json.WriteString("id", id);
        json.WriteNumber("type_id", typeId);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteDecoder(Utf8JsonWriter json, TokenizerJsonModel model)
    {
        json.WritePropertyName("decoder");
        if (model.ByteLevel)
        {
            Step(json, "ByteLevel", () => ByteLevelFlags(json, trim: true, regex: true));
            return;
        }

        Step(json, "Sequence", () =>
        {
            json.WriteStartArray("decoders");
            Step(json, "Replace", () => Replace(json, Space, " "));
            Step(json, "ByteFallback", () => { });
            Step(json, "Fuse", () => { });
            if (model.Prefix != DummyPrefix.None)
            {
                Step(json, "Strip", () =>
                {
                    json.WriteString("content", " ");
                    json.WriteNumber("start", 1);
                    json.WriteNumber("stop", 0);
                });
            }

            json.WriteEndArray();
        });
    }

    private static void WriteModel(Utf8JsonWriter json, TokenizerJsonModel model)
    {
        json.WritePropertyName("model");
        Step(json, "BPE", () =>
        {
            json.WriteNull("dropout");
            json.WriteString("unk_token", model.UnknownToken);
            json.WriteNull("continuing_subword_prefix");
            json.WriteNull("end_of_word_suffix");
            json.WriteBoolean("fuse_unk", !model.ByteLevel);
            json.WriteBoolean("byte_fallback", !model.ByteLevel);
            json.WriteBoolean("ignore_merges", model.IgnoreMerges);
            json.WriteStartObject("vocab");
            for (int id = 0; id < model.Pieces.Count; id++)
                json.WriteNumber(model.Pieces[id]!, id);
            json.WriteEndObject();
            json.WriteStartArray("merges");
            foreach ((string left, string right) in model.Merges)
                json.WriteStringValue($"{left} {right}"); // the older form: every version reads it, and no piece holds a space

            json.WriteEndArray();
        });
    }

    private static void Step(Utf8JsonWriter json, string type, Action rest)
    {
        json.WriteStartObject();
        json.WriteString("type", type);
        rest();
        json.WriteEndObject();
    }

    private static void Replace(Utf8JsonWriter json, string what, string by)
    {
        json.WriteStartObject("pattern");
        json.WriteString("String", what);
        json.WriteEndObject();
        json.WriteString("content", by);
    }

    private static void ByteLevelFlags(Utf8JsonWriter json, bool trim, bool regex)
    {
        json.WriteBoolean("add_prefix_space", false);
        json.WriteBoolean("trim_offsets", trim);
        json.WriteBoolean("use_regex", regex);
    }
}
