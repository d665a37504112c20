using System.Text.Json;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

/// <summary>The gradients that the blocks write out, tensor by tensor, against autograd through the plainest model there is.</summary>
public sealed class GradientTests
{
    private static readonly Dictionary<string, LlamaConfig> Models = new(StringComparer.Ordinal)
    {
        ["llama"] = SmallRun.Config,
        ["llama, tied, a key head for each"] = SmallRun.Config with { TieWordEmbeddings = true, NumKeyValueHeads = 4 },
        ["llama, biased, one key head"] = SmallRun.Config with { AttentionBias = true, MlpBias = true, NumKeyValueHeads = 1 },
        ["llama, tied, biased, wide heads"] = SmallRun.Config with { TieWordEmbeddings = true, AttentionBias = true, MlpBias = true, NumAttentionHeads = 6, NumKeyValueHeads = 3, HeadDim = 12 },
        ["llama, yarn"] = SmallRun.Config with { RopeScaling = JsonElement.Parse("""{"rope_type":"yarn","factor":4}""") },
        ["llama, dynamic"] = SmallRun.Config with { MaxPositionEmbeddings = 40, RopeScaling = JsonElement.Parse("""{"rope_type":"dynamic","factor":2}""") },
        ["mistral"] = SmallRun.Config with { ModelType = "mistral", SlidingWindow = 300 },
        ["mistral, narrow window"] = SmallRun.Config with { ModelType = "mistral", SlidingWindow = 5 },
        ["qwen2"] = SmallRun.Config with { ModelType = "qwen2" },
        ["qwen2, half of it sliding"] = SmallRun.Config with { ModelType = "qwen2", UseSlidingWindow = true, SlidingWindow = 17, MaxWindowLayers = 1 },
        ["qwen3"] = SmallRun.Config with { ModelType = "qwen3", HeadDim = 16 },
        ["qwen3, biased, tied"] = SmallRun.Config with { ModelType = "qwen3", AttentionBias = true, TieWordEmbeddings = true },
    };

    public static TheoryData<string> Names() => [.. Models.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_gradient_equals_autograd(string model)
    {
        using var scope = NewDisposeScope();
        LlamaConfig config = Models[model] with { NumHiddenLayers = 2 };
        using var part = new LlamaPart(config, Precision.Fp32, PartSpan.Whole(config));
        Dictionary<string, Tensor> weights = Attach(part);
        using TokenBatch batch = TokenBatch.From([.. Enumerable.Range(0, 3).Select(i => new RandomRows(3, 300, config.VocabSize, seed: 8).Read(i))]);
        (double loss, Dictionary<string, Tensor> gradients) = Written(part, batch, scale: 0.01);

        foreach (Tensor weight in weights.Values)
            weight.requires_grad_(true);
        Tensor expected = NaiveModel.Loss(config, weights, batch);
        (expected * 0.01).backward();

        Assert.Equal(expected.item<float>(), loss, Math.Abs(loss) * 1e-5);
        foreach ((string name, Tensor weight) in weights)
        {
            float largest = weight.grad!.abs().max().item<float>(), apart = (weight.grad - gradients[name]).abs().max().item<float>();
            Assert.True(apart <= (1e-5 * largest) + 1e-7, $"{name}: {apart} apart, the largest gradient is {largest}");
        }
    }

    // Random weights that are not small, so that no term hides.
    private static Dictionary<string, Tensor> Attach(LlamaPart part)
    {
        random.manual_seed(3);
        var weights = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        foreach (BlockWeights block in part.Blocks)
        {
            Tensor flat = randn(block.Count).mul(0.3f);
            block.Attach(flat);
            foreach (LocalWeight weight in block.Weights)
                weights[weight.Name] = block[weight.Name].clone();
        }

        return weights;
    }

    /// <summary>Loss, and the gradients that the blocks write out, by name.</summary>
    internal static (double Loss, Dictionary<string, Tensor> Gradients) Written(LlamaPart part, TokenBatch batch, double scale, IDropoutMasks? dropout = null)
    {
        using var context = new BatchContext(batch, part.Rotary, part.Type) { Dropout = dropout };
        Tensor[] flat = [.. part.Blocks.Select(b => zeros(b.Count))];
        Tensor FlatOf(BlockWeights block) => flat[part.Blocks.ToList().IndexOf(block)];
        var kept = new List<(Tensor Input, LayerKept Kept)>();
        Tensor x = part.Embed(batch);
        foreach (DecoderLayer layer in part.Layers)
        {
            (Tensor output, LayerKept? k) = layer.Forward(x, context, LayerParts.All);
            kept.Add((x, k!));
            x = output;
        }

        (Tensor sum, Tensor? gradient) = part.HeadLossOf(x, batch, 50, scale, FlatOf(part.HeadBlock), FlatOf(part.HeadMatrixBlock!));
        for (int i = part.Layers.Count - 1; i >= 0; i--)
        {
            gradient = part.Layers[i].Backward(gradient!, kept[i].Input, kept[i].Kept, context, FlatOf(part.Layers[i].Weights));
            kept[i].Kept.Dispose();
        }

        part.EmbedBackward(batch, gradient!, FlatOf(part.EmbeddingBlock));
        return (sum.item<double>(), part.Blocks.SelectMany(b => b.Weights.Select(w => (w.Name, Value: b.ViewOf(FlatOf(b), w.Name, w.Name)))).ToDictionary(p => p.Name, p => p.Value, StringComparer.Ordinal));
    }
}

/// <summary>A LLaMA as one reads it in the paper: full masks, library operators, autograd.</summary>
internal static class NaiveModel
{
    /// <summary>Sum of the losses of the labelled tokens.</summary>
    /// <param name="config">The model.</param>
    /// <param name="weights">By name.</param>
    /// <param name="batch">Its tokens.</param>
    /// <param name="linear">What stands in for a linear layer, given its input and its module's name; null for the plain one.</param>
    public static Tensor Loss(LlamaConfig config, Dictionary<string, Tensor> weights, TokenBatch batch, Func<Tensor, string, Tensor>? linear = null)
    {
        linear ??= (input, module) => nn.functional.linear(input, weights[$"{module}.weight"], weights.GetValueOrDefault($"{module}.bias"));
        (Tensor cos, Tensor sin) = new RotaryTables(config).For(batch.Positions, batch.LengthOfDocument, ScalarType.Float32);
        Tensor x = weights[LlamaTensors.Embedding].index_select(0, batch.Ids);
        for (int i = 0; i < config.NumHiddenLayers; i++)
        {
            string prefix = $"model.layers.{i}.";
            Tensor Linear(Tensor input, string name) => linear(input, prefix + name);
            Tensor Heads(Tensor input, string name)
            {
                Tensor heads = Linear(input, $"self_attn.{name}_proj").view(x.shape[0], -1, config.HeadSize);
                return weights.TryGetValue($"{prefix}self_attn.{name}_norm.weight", out Tensor? norm) ? Norm(heads, norm, config) : heads;
            }

            x = x + Linear(Attention(config, Norm(x, weights[prefix + "input_layernorm.weight"], config), Heads, cos.unsqueeze(1), sin.unsqueeze(1), Mask(batch, config.WindowOf(i))), "self_attn.o_proj");
            Tensor n = Norm(x, weights[prefix + "post_attention_layernorm.weight"], config);
            x = x + Linear(nn.functional.silu(Linear(n, "mlp.gate_proj")) * Linear(n, "mlp.up_proj"), "mlp.down_proj");
        }

        x = Norm(x, weights[LlamaTensors.FinalNorm], config).index_select(0, batch.Labelled);
        Tensor logits = x.matmul(weights[config.TieWordEmbeddings ? LlamaTensors.Embedding : LlamaTensors.Head].t());
        return nn.functional.cross_entropy(logits, batch.Targets, reduction: nn.Reduction.Sum);
    }

    private static Tensor Attention(LlamaConfig config, Tensor x, Func<Tensor, string, Tensor> heads, Tensor cos, Tensor sin, Tensor mask)
    {
        Tensor Rotated(string name) => AtenScripts.Rotate(heads(x, name), cos, sin).transpose(0, 1);
        Tensor q = Rotated("q"), k = Rotated("k"), v = heads(x, "v").transpose(0, 1);
        long group = q.shape[0] / k.shape[0];
        Tensor scores = q.matmul(k.repeat_interleave(group, 0).transpose(1, 2)) / Math.Sqrt(config.HeadSize);
        return (scores + mask).softmax(-1).matmul(v.repeat_interleave(group, 0)).transpose(0, 1).reshape(x.shape[0], -1);
    }

    private static Tensor Norm(Tensor x, Tensor weight, LlamaConfig config) => x * (x.square().mean([-1], true) + config.RmsNormEps).rsqrt() * weight;

    private static Tensor Mask(TokenBatch batch, int? window)
    {
        int n = batch.TokenCount;
        var values = new float[n * n];
        int start = 0, document = 0;
        int[] documentOf = new int[n];
        foreach (long length in batch.DocumentLengths)
        {
            Array.Fill(documentOf, document++, start, (int)length);
            start += (int)length;
        }

        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j < n; j++)
                values[(i * n) + j] = j <= i && i - j < (window ?? n) && documentOf[i] == documentOf[j] ? 0 : float.NegativeInfinity;
        }

        return tensor(values, [n, n]);
    }
}
