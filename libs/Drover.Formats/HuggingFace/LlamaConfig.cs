using System.Buffers;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Drover.Errors;

namespace Drover.Formats.HuggingFace;

/// <summary>
/// <c>config.json</c> of a LLaMA or of another <see cref="ModelFamily"/>. Keys that Drover does not know are kept in <see cref="Unknown"/> and written back, so an
/// export loses nothing. Both the legacy pair (rope_theta, rope_scaling) and transformers 5's rope_parameters are read
/// and written, and so are both names of the data type: transformers 4 knows the first of each only.
/// </summary>
/// <remarks>Optional properties have setters: generated JSON code resets init-only ones that a file does not name to zero.</remarks>
public sealed record LlamaConfig
{
    /// <summary>The name of the file.</summary>
    public const string FileName = "config.json";

    private const string RopeParameters = "rope_parameters";
    private const string SlidingLayer = "sliding_attention";
    private const string FullLayer = "full_attention";

    /// <summary>Model class names; that of the family is among them.</summary>
    public string[] Architectures { get; set; } = ["LlamaForCausalLM"];

    /// <summary>Names the family.</summary>
    public string ModelType { get; set; } = "llama";

    /// <summary>Rows of the embedding matrices.</summary>
    public required int VocabSize { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width of the MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Decoder layers.</summary>
    public required int NumHiddenLayers { get; init; }

    /// <summary>Query heads.</summary>
    public required int NumAttentionHeads { get; init; }

    /// <summary>Key and value heads; absent means as many as query heads.</summary>
    public int? NumKeyValueHeads { get; set; }

    /// <summary>Width of one head; absent means hidden / heads.</summary>
    public int? HeadDim { get; set; }

    /// <summary>"silu".</summary>
    public string HiddenAct { get; set; } = "silu";

    /// <summary>Longest sequence the model was made for.</summary>
    public int MaxPositionEmbeddings { get; set; } = 2048;

    /// <summary>Standard deviation of random weights.</summary>
    public double InitializerRange { get; set; } = 0.02;

    /// <summary>Epsilon of RMSNorm.</summary>
    public double RmsNormEps { get; set; } = 1e-6;

    /// <summary>Base of the rotary frequencies.</summary>
    public double RopeTheta { get; set; } = 10000;

    /// <summary>Rotary scaling as written, its type under "rope_type" whatever the file called it; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public JsonElement? RopeScaling { get; set; }

    /// <summary>Whether the head uses the embedding matrix.</summary>
    public bool TieWordEmbeddings { get; set; }

    /// <summary>Biases on q, k, v and o, in families that know the key.</summary>
    public bool? AttentionBias { get; set; }

    /// <summary>Biases in the MLP, in families that know the key.</summary>
    public bool? MlpBias { get; set; }

    /// <summary>How many tokens, itself counted, a token sees in layers that slide; null for all.</summary>
    public int? SlidingWindow { get; set; }

    /// <summary>Qwen: whether any layer slides.</summary>
    public bool? UseSlidingWindow { get; set; }

    /// <summary>Qwen: the first layer that slides, where <see cref="LayerTypes"/> does not say.</summary>
    public int? MaxWindowLayers { get; set; }

    /// <summary>Qwen: "full_attention" or "sliding_attention" for each layer.</summary>
    public string[]? LayerTypes { get; set; }

    /// <summary>Dropout of attention weights; LLaMA has none.</summary>
    public double AttentionDropout { get; set; }

    /// <summary>Id of beginning-of-sequence.</summary>
    public int? BosTokenId { get; set; }

    /// <summary>Id of end-of-sequence; a number or a list.</summary>
    public JsonElement? EosTokenId { get; set; }

    /// <summary>Id of padding.</summary>
    public int? PadTokenId { get; set; }

    /// <summary>Whether generation keeps keys and values.</summary>
    public bool UseCache { get; set; } = true;

    /// <summary>Type the weights are stored in: "bfloat16", "float16", "float32" (transformers 4's key).</summary>
    public string? TorchDtype { get; set; }

    /// <summary>The same under transformers 5's key.</summary>
    public string? Dtype { get; set; }

    /// <summary>Keys that Drover has no use for.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Unknown { get; set; }

    /// <summary>Key and value heads.</summary>
    [JsonIgnore]
    public int KeyValueHeads => NumKeyValueHeads ?? NumAttentionHeads;

    /// <summary>Width of one head.</summary>
    [JsonIgnore]
    public int HeadSize => HeadDim ?? HiddenSize / NumAttentionHeads;

    /// <summary>What the model's class does whatever the config says.</summary>
    [JsonIgnore]
    public ModelFamily Family => ModelFamily.Find(ModelType) ?? throw new DroverException(FailureCode.InvalidArgument, "UNSUPPORTED_MODEL_CONFIG", $"config.json: {UnknownFamily()}.");

    /// <summary>Whether q, k and v have biases.</summary>
    [JsonIgnore]
    public bool HasQueryKeyValueBias => Family.AlwaysQueryKeyValueBias || HasOutputBias;

    /// <summary>Whether o has a bias.</summary>
    [JsonIgnore]
    public bool HasOutputBias => Family.KnowsAttentionBias && AttentionBias == true;

    /// <summary>Whether gate, up and down have biases.</summary>
    [JsonIgnore]
    public bool HasMlpBias => Family.KnowsMlpBias && MlpBias == true;

    /// <summary>How many tokens, itself counted, a token sees in a layer; null for all of its document.</summary>
    public int? WindowOf(int layer)
    {
        bool slides = Family.Sliding switch
        {
            SlidingLayers.All => true,
            SlidingLayers.ByConfig => UseSlidingWindow == true && (LayerTypes is null ? layer >= (MaxWindowLayers ?? 0) : LayerTypes[layer] == SlidingLayer),
            _ => false,
        };
        return slides ? SlidingWindow : null;
    }

    /// <summary>Reads and checks a config.</summary>
    /// <param name="json">The file's text.</param>
    /// <param name="file">For messages.</param>
    /// <exception cref="DroverException">InvalidArgument, naming every field that is wrong.</exception>
    public static LlamaConfig Parse(string json, string file)
    {
        LlamaConfig config;
        try
        {
            JsonNode keys = JsonNode.Parse(json) ?? throw new JsonException("it is null");
            if (keys["model_type"] is JsonValue type && type.TryGetValue(out string? name))
                ModelFamily.Find(name)?.FillIn(keys.AsObject());
            config = JsonSerializer.Deserialize(keys, LlamaConfigJson.Default.LlamaConfig) ?? throw new JsonException("it is null");
            config = config.WithRopeParameters();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or ArgumentException)
        {
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_MODEL_CONFIG", $"'{file}' is not the config.json of a LLaMA: {e.Message}", e);
        }

        List<string> problems = config.Problems();
        if (problems.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "UNSUPPORTED_MODEL_CONFIG", $"'{file}': {string.Join("; ", problems)}.");
        return config;
    }

    /// <summary>The file's text.</summary>
    public string ToJson()
    {
        var extra = new Dictionary<string, JsonElement>(Unknown ?? [], StringComparer.Ordinal) { [RopeParameters] = RopeParametersOf(RopeTheta, RopeScaling) };
        // Null is no window; a file without the key has the family's default.
        if (Family.Sliding != SlidingLayers.None && SlidingWindow is null)
            extra["sliding_window"] = JsonElement.Parse("null");
        LlamaConfig both = this with { NumKeyValueHeads = KeyValueHeads, HeadDim = HeadSize, TorchDtype = TorchDtype ?? Dtype, Dtype = Dtype ?? TorchDtype, Unknown = extra };
        return JsonSerializer.Serialize(both, LlamaConfigJson.Default.LlamaConfig) + "\n";
    }

    private LlamaConfig WithRopeParameters()
    {
        if (Unknown is null || !Unknown.TryGetValue(RopeParameters, out JsonElement rope) || rope.ValueKind != JsonValueKind.Object)
            return RopeScaling is { ValueKind: JsonValueKind.Object } legacy ? this with { RopeScaling = Rewrite(legacy, null) } : this;
        var others = new Dictionary<string, JsonElement>(Unknown, StringComparer.Ordinal);
        others.Remove(RopeParameters);
        double theta = rope.TryGetProperty("rope_theta", out JsonElement t) ? t.GetDouble() : RopeTheta;
        // Anything beside theta is kept: what it means is looked at later.
        bool scaled = rope.EnumerateObject().Any(p => p.Name != "rope_theta" && !(p.Name == "rope_type" && p.Value.GetString() == "default"));
        return this with { RopeTheta = theta, RopeScaling = scaled ? Rewrite(rope, null) : RopeScaling, Unknown = others };
    }

    /// <summary>The legacy pair as transformers 5 writes it: one object with theta, type and the scaling's own numbers.</summary>
    private static JsonElement RopeParametersOf(double theta, JsonElement? scaling) =>
        Rewrite(scaling is { ValueKind: JsonValueKind.Object } given ? given : null, theta);

    /// <summary>A scaling with rope_type for the older "type", and with theta or without it.</summary>
    private static JsonElement Rewrite(JsonElement? scaling, double? theta)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            bool typed = false;
            foreach (JsonProperty property in scaling?.EnumerateObject() ?? default)
            {
                if (property.Name is "type" or "rope_type")
                {
                    if (!typed)
                        json.WriteString("rope_type", property.Value.GetString());
                    typed = true;
                }
                else if (property.Name != "rope_theta")
                {
                    property.WriteTo(json);
                }
            }

            if (!typed)
                json.WriteString("rope_type", "default");
            if (theta is { } value)
                json.WriteNumber("rope_theta", value);
            json.WriteEndObject();
        }

        using var document = JsonDocument.Parse(buffer.WrittenMemory);
        return document.RootElement.Clone();
    }

    private List<string> Problems()
    {
        var problems = new List<string>();
        void Require(bool good, string what)
        {
            if (!good)
                problems.Add(what);
        }

        ModelFamily? family = ModelFamily.Find(ModelType);
        Require(family is not null, UnknownFamily());
        Require(family is null || Architectures?.Contains(family.Architecture) == true, $"architectures is [{string.Join(", ", Architectures ?? [])}], and of model_type '{ModelType}' only {family?.Architecture} is supported");
        Require(HiddenAct == "silu", $"hidden_act is '{HiddenAct}', and only 'silu' is supported");
        Require(VocabSize > 0, $"vocab_size is {VocabSize}");
        Require(HiddenSize > 0, $"hidden_size is {HiddenSize}");
        Require(IntermediateSize > 0, $"intermediate_size is {IntermediateSize}");
        Require(NumHiddenLayers > 0, $"num_hidden_layers is {NumHiddenLayers}");
        Require(NumAttentionHeads > 0, $"num_attention_heads is {NumAttentionHeads}");
        if (NumAttentionHeads > 0)
        {
            Require(KeyValueHeads > 0 && NumAttentionHeads % KeyValueHeads == 0, $"num_attention_heads ({NumAttentionHeads}) is not a multiple of num_key_value_heads ({KeyValueHeads})");
            Require(HeadDim is not null || HiddenSize % NumAttentionHeads == 0, $"hidden_size ({HiddenSize}) is not a multiple of num_attention_heads ({NumAttentionHeads}), and there is no head_dim");
            Require(HeadSize > 0 && HeadSize % 2 == 0, $"head_dim ({HeadSize}) is not a positive even number");
        }

        problems.AddRange(RotaryScaling.Problems(RopeScaling));
        if (family?.Sliding is SlidingLayers.All or SlidingLayers.ByConfig)
            CheckWindows(family, Require);
        return problems;
    }

    private void CheckWindows(ModelFamily family, Action<bool, string> require)
    {
        require(SlidingWindow is null or > 0, $"sliding_window is {SlidingWindow}; give a positive number, or null for none");
        if (family.Sliding != SlidingLayers.ByConfig || LayerTypes is null)
            return;
        require(LayerTypes.Length == NumHiddenLayers, $"layer_types has {LayerTypes.Length} entries for {NumHiddenLayers} layers");
        require(LayerTypes.All(t => t is FullLayer or SlidingLayer), $"layer_types holds '{LayerTypes.FirstOrDefault(t => t is not (FullLayer or SlidingLayer))}', and only {FullLayer} and {SlidingLayer} are supported");
        require(!LayerTypes.Contains(SlidingLayer) || (UseSlidingWindow == true && SlidingWindow is not null), $"layer_types holds {SlidingLayer}, but use_sliding_window is not true or there is no sliding_window");
    }

    private string UnknownFamily() => $"model_type is '{ModelType}', and only {string.Join(", ", ModelFamily.All.Select(f => f.ModelType))} are supported";
}

/// <summary>Serializes <see cref="LlamaConfig"/>.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(LlamaConfig))]
public sealed partial class LlamaConfigJson : JsonSerializerContext;
