using System.Text.Json;
using System.Text.Json.Nodes;
using Drover.Errors;
using Drover.Formats.HuggingFace;

namespace Drover.Formats.Tests.HuggingFace;

public sealed class LlamaConfigTests
{
    private const string Minimal = """{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":40,"hidden_size":16,"intermediate_size":24,"num_hidden_layers":2,"num_attention_heads":4}""";

    [Fact]
    public void What_a_file_does_not_name_has_its_default()
    {
        LlamaConfig config = LlamaConfig.Parse(Minimal, "f");
        Assert.Equal((1e-6, 10000.0, 2048, "silu", true, false), (config.RmsNormEps, config.RopeTheta, config.MaxPositionEmbeddings, config.HiddenAct, config.UseCache, config.TieWordEmbeddings));
        Assert.Equal((4, 4), (config.KeyValueHeads, config.HeadSize));
    }

    [Fact]
    public void Keys_that_are_not_known_survive()
    {
        JsonObject json = With(("quantization_config", "{\"bits\":4,\"nested\":[1,null,\"x\"]}"), ("pretraining_tp", "1"), ("transformers_version", "\"4.40.0\""));
        JsonObject written = JsonNode.Parse(LlamaConfig.Parse(json.ToJsonString(), "f").ToJson())!.AsObject();
        foreach (string key in new[] { "quantization_config", "pretraining_tp", "transformers_version" })
            Assert.True(JsonNode.DeepEquals(json[key], written[key]), key);
    }

    [Theory]
    [InlineData("rope_parameters", """{"rope_type":"llama3","rope_theta":500000.0,"factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192}""")]
    [InlineData("rope_scaling", """{"type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192}""")]
    public void Either_way_of_writing_the_rotary_settings_is_read_and_both_are_written(string key, string value)
    {
        JsonObject json = With((key, value), ("rope_theta", "500000.0"));
        string text = LlamaConfig.Parse(json.ToJsonString(), "f").ToJson();
        Check(text);
        Check(LlamaConfig.Parse(text, "f").ToJson()); // and once more

        static void Check(string written)
        {
            using var document = JsonDocument.Parse(written);
            JsonElement root = document.RootElement;
            Assert.Equal(500000.0, root.GetProperty("rope_theta").GetDouble());
            Assert.Equal(500000.0, root.GetProperty("rope_parameters").GetProperty("rope_theta").GetDouble());
            Assert.False(root.GetProperty("rope_scaling").TryGetProperty("rope_theta", out _));
            foreach (string place in new[] { "rope_scaling", "rope_parameters" })
            {
                JsonElement rope = root.GetProperty(place);
                Assert.Equal(("llama3", 8.0, 8192), (rope.GetProperty("rope_type").GetString(), rope.GetProperty("factor").GetDouble(), rope.GetProperty("original_max_position_embeddings").GetInt32()));
            }
        }
    }

    [Fact]
    public void Rotary_settings_without_scaling_are_written_as_default()
    {
        using var written = JsonDocument.Parse(LlamaConfig.Parse(With(("rope_parameters", """{"rope_type":"default","rope_theta":20000}""")).ToJsonString(), "f").ToJson());
        Assert.Equal(JsonValueKind.Null, written.RootElement.GetProperty("rope_scaling").ValueKind);
        Assert.Equal("default", written.RootElement.GetProperty("rope_parameters").GetProperty("rope_type").GetString());
        Assert.Equal(20000, written.RootElement.GetProperty("rope_theta").GetDouble());
    }

    [Theory]
    [InlineData("torch_dtype")]
    [InlineData("dtype")]
    public void Either_name_of_the_data_type_gives_both(string key)
    {
        using var written = JsonDocument.Parse(LlamaConfig.Parse(With((key, "\"bfloat16\"")).ToJsonString(), "f").ToJson());
        Assert.Equal("bfloat16", written.RootElement.GetProperty("torch_dtype").GetString());
        Assert.Equal("bfloat16", written.RootElement.GetProperty("dtype").GetString());
    }

    [Fact]
    public void A_list_of_end_tokens_survives()
    {
        using var written = JsonDocument.Parse(LlamaConfig.Parse(With(("eos_token_id", "[128001,128008,128009]")).ToJsonString(), "f").ToJson());
        Assert.Equal(3, written.RootElement.GetProperty("eos_token_id").GetArrayLength());
    }

    [Theory]
    [InlineData("model_type", "\"mistral\"")]
    [InlineData("architectures", "[\"GPT2LMHeadModel\"]")]
    [InlineData("architectures", "null")]
    [InlineData("hidden_act", "\"gelu\"")]
    [InlineData("vocab_size", "0")]
    [InlineData("vocab_size", "-5")]
    [InlineData("vocab_size", "\"many\"")]
    [InlineData("vocab_size", "99999999999")]
    [InlineData("num_attention_heads", "0")]
    [InlineData("num_attention_heads", "3")]
    [InlineData("num_key_value_heads", "3")]
    [InlineData("num_key_value_heads", "0")]
    [InlineData("head_dim", "3")]
    [InlineData("head_dim", "0")]
    [InlineData("rope_parameters", """{"rope_theta":"high"}""")]
    public void What_cannot_be_trained_is_refused_with_the_file_named(string key, string value)
    {
        DroverException e = Assert.Throws<DroverException>(() => LlamaConfig.Parse(With((key, value)).ToJsonString(), "models/x/config.json"));
        Assert.Equal(FailureCode.InvalidArgument, e.Code);
        Assert.Contains("models/x/config.json", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void All_that_is_wrong_is_told_at_once()
    {
        DroverException e = Assert.Throws<DroverException>(() => LlamaConfig.Parse(With(("hidden_act", "\"gelu\""), ("vocab_size", "0")).ToJsonString(), "f"));
        Assert.Contains("hidden_act", e.Message, StringComparison.Ordinal);
        Assert.Contains("vocab_size", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{\"model_type\":\"llama\"}")]
    public void What_is_no_config_is_refused(string text) =>
        Assert.Equal(FailureCode.InvalidArgument, Assert.Throws<DroverException>(() => LlamaConfig.Parse(text, "f")).Code);

    private static JsonObject With(params (string Key, string Json)[] changes)
    {
        JsonObject json = JsonNode.Parse(Minimal)!.AsObject();
        foreach ((string key, string value) in changes)
            json[key] = JsonNode.Parse(value);
        return json;
    }
}
