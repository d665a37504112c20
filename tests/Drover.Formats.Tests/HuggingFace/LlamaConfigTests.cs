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

    [Theory]
    [InlineData("model_type", "\"gpt2\"", "gpt2", "llama, mistral, qwen2, qwen3")]
    [InlineData("architectures", "[\"LlamaForSequenceClassification\"]", "LlamaForSequenceClassification", "LlamaForCausalLM")]
    [InlineData("hidden_act", "\"relu\"", "relu", "silu")]
    [InlineData("rope_scaling", """{"type":"longrope","factor":2}""", "longrope", "default, linear, dynamic, llama3, yarn")]
    [InlineData("rope_scaling", """{"rope_type":"yarn"}""", "yarn", "factor")]
    [InlineData("rope_parameters", """{"rope_type":"default","rope_theta":1e4,"partial_rotary_factor":0.5}""", "0.5", "partial_rotary_factor")]
    [InlineData("rope_parameters", """{"sliding_attention":{"rope_type":"default","rope_theta":1e4}}""", "sliding_attention", "one for all layers")]
    public void What_is_not_supported_is_named_with_what_is(string key, string value, string named, string supported)
    {
        DroverException e = Assert.Throws<DroverException>(() => LlamaConfig.Parse(With((key, value)).ToJsonString(), "f"));
        Assert.Contains(named, e.Message, StringComparison.Ordinal);
        Assert.Contains(supported, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("mistral", "MistralForCausalLM")]
    [InlineData("qwen2", "Qwen2ForCausalLM")]
    [InlineData("qwen3", "Qwen3ForCausalLM")]
    public void A_family_keeps_its_names_and_the_keys_that_it_does_not_know_stay_away(string type, string architecture)
    {
        LlamaConfig config = LlamaConfig.Parse(With(("model_type", $"\"{type}\""), ("architectures", $"[\"{architecture}\"]"), ("num_key_value_heads", "2")).ToJsonString(), "f");
        JsonObject written = JsonNode.Parse(config.ToJson())!.AsObject();
        Assert.Equal(type, written["model_type"]!.GetValue<string>());
        Assert.Equal([architecture], written["architectures"]!.AsArray().Select(a => a!.GetValue<string>()));
        Assert.False(written.ContainsKey("attention_bias") || written.ContainsKey("mlp_bias"));
        Assert.Equal(config.ToJson(), LlamaConfig.Parse(config.ToJson(), "f").ToJson());
    }

    [Fact]
    public void What_a_file_of_a_family_does_not_name_has_the_default_of_its_class()
    {
        LlamaConfig mistral = Of("mistral", "MistralForCausalLM", ("num_attention_heads", "8")), qwen = Of("qwen3", "Qwen3ForCausalLM", ("num_attention_heads", "32"));
        Assert.Equal((8, 2, 4096, 131072), (mistral.KeyValueHeads, mistral.HeadSize, mistral.WindowOf(0), mistral.MaxPositionEmbeddings));
        Assert.Equal((32, 128, null, 32768), (qwen.KeyValueHeads, qwen.HeadSize, qwen.WindowOf(1), qwen.MaxPositionEmbeddings));
    }

    [Fact]
    public void A_window_that_is_null_is_none_and_stays_so()
    {
        LlamaConfig config = Of("mistral", "MistralForCausalLM", ("sliding_window", "null"), ("num_key_value_heads", "2"));
        Assert.Null(config.WindowOf(0));
        Assert.Null(LlamaConfig.Parse(config.ToJson(), "f").WindowOf(0));
    }

    [Theory]
    [InlineData("""["full_attention"]""", "layer_types has 1 entries for 2 layers")]
    [InlineData("""["full_attention","linear_attention"]""", "linear_attention")]
    [InlineData("""["full_attention","sliding_attention"]""", "use_sliding_window")]
    public void Kinds_of_layers_that_do_not_fit_are_refused(string kinds, string why)
    {
        DroverException e = Assert.Throws<DroverException>(() => Of("qwen2", "Qwen2ForCausalLM", ("num_key_value_heads", "2"), ("layer_types", kinds)));
        Assert.Contains(why, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("llama", "LlamaForCausalLM", "true", "q_proj k_proj v_proj o_proj")]
    [InlineData("llama", "LlamaForCausalLM", "false", "")]
    [InlineData("mistral", "MistralForCausalLM", "true", "")]
    [InlineData("qwen2", "Qwen2ForCausalLM", "false", "q_proj k_proj v_proj")]
    [InlineData("qwen3", "Qwen3ForCausalLM", "true", "q_proj k_proj v_proj o_proj")]
    public void Biases_of_attention_are_those_of_the_family(string type, string architecture, string given, string expected)
    {
        LlamaConfig config = Of(type, architecture, ("num_key_value_heads", "2"), ("head_dim", "4"), ("attention_bias", given));
        Assert.Equal(expected, string.Join(' ', LlamaTensors.Layer(config).Where(w => w.Name.EndsWith(".bias", StringComparison.Ordinal)).Select(w => w.Name.Split('.')[1])));
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

    private static LlamaConfig Of(string type, string architecture, params (string Key, string Json)[] changes) =>
        LlamaConfig.Parse(With([("model_type", $"\"{type}\""), ("architectures", $"[\"{architecture}\"]"), .. changes]).ToJsonString(), "f");

    private static JsonObject With(params (string Key, string Json)[] changes)
    {
        JsonObject json = JsonNode.Parse(Minimal)!.AsObject();
        foreach ((string key, string value) in changes)
            json[key] = JsonNode.Parse(value);
        return json;
    }
}
