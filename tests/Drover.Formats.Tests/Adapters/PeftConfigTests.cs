using Drover.Errors;
using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;

namespace Drover.Formats.Tests.Adapters;

/// <summary>adapter_config.json: what is written is read again, and what would be computed differently is refused.</summary>
public sealed class PeftConfigTests
{
    private static readonly LlamaConfig Config = new() { VocabSize = 40, HiddenSize = 16, IntermediateSize = 24, NumHiddenLayers = 2, NumAttentionHeads = 2, NumKeyValueHeads = 1 };

    public static TheoryData<LoraSpec, bool> Specs() => new()
    {
        { new LoraSpec(), false },
        { new LoraSpec { Rank = 7, Alpha = 3.5, Dropout = 0.25, RankStabilized = true, Targets = ["q_proj", "v_proj"], ModulesToSave = ["lm_head"] }, false },
        { new LoraSpec { Dora = true, TokenRowsFrom = 33 }, false },
        { new LoraSpec { TokenRowsFrom = 39 }, true },
    };

    [Theory]
    [MemberData(nameof(Specs))]
    public void What_is_written_is_read_again(LoraSpec lora, bool tied)
    {
        LlamaConfig config = Config with { TieWordEmbeddings = tied };
        LoraSpec read = PeftConfig.Parse(PeftConfig.ToJson(lora, config, "models/base"), "here", config);
        Assert.Equal(AdapterTensors.All(lora, config).Select(t => t.Name), AdapterTensors.All(read, config).Select(t => t.Name));
        Assert.Equal((lora.Rank, lora.Alpha, lora.Dropout, lora.Scale, lora.Dora), (read.Rank, read.Alpha, read.Dropout, read.Scale, read.Dora));
    }

    [Fact]
    public void Patterns_are_written_as_the_modules_that_they_mean()
    {
        var lora = new LoraSpec { Targets = ["model.layers.1.*.up_proj", "o_proj"] };
        LoraSpec read = PeftConfig.Parse(PeftConfig.ToJson(lora, Config, ""), "here", Config);
        Assert.Equal(["model.layers.0.self_attn.o_proj", "model.layers.1.self_attn.o_proj", "model.layers.1.mlp.up_proj"], read.Targets);
    }

    [Theory]
    [InlineData("\"peft_type\": \"IA3\"", "peft_type is IA3")]
    [InlineData("\"bias\": \"all\"", "bias is 'all'")]
    [InlineData("\"rank_pattern\": {\"q_proj\": 4}", "rank_pattern is")]
    [InlineData("\"target_modules\": \".*_proj\"", "target_modules is the pattern")]
    [InlineData("\"trainable_token_indices\": {\"embed_tokens\": [3, 4]}", "not the last rows")]
    [InlineData("\"fan_in_fan_out\": true", "fan_in_fan_out")]
    public void What_Drover_has_nothing_for_is_refused_by_name(string field, string why)
    {
        string json = "{\"peft_type\": \"LORA\", \"r\": 8, \"lora_alpha\": 16, \"target_modules\": [\"q_proj\"], " + field + "}";
        DroverException refused = Assert.Throws<DroverException>(() => PeftConfig.Parse(json, "models/theirs/adapter_config.json", Config));
        Assert.Equal(FailureCode.Unimplemented, refused.Code);
        Assert.Contains(why, refused.Message, StringComparison.Ordinal);
        Assert.Contains("models/theirs/adapter_config.json", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void All_linear_means_the_linear_layers() =>
        Assert.Equal(LoraSpec.AllLinear, PeftConfig.Parse("""{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": "all-linear"}""", "here", Config).Targets);

    [Fact]
    public void What_is_no_config_is_said_to_be_none() =>
        Assert.Equal("CORRUPT_ADAPTER_CONFIG", Assert.Throws<DroverException>(() => PeftConfig.Parse("""{"r": 8}""", "here", Config)).Reason);
}
