using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

/// <summary>The gradients that adapters write out against autograd through LoRA as one reads it in the paper, with fixed masks of dropout.</summary>
public sealed class LowRankTests
{
    private static readonly LlamaConfig Config = SmallRun.Config with { NumHiddenLayers = 2 };

    private static readonly Dictionary<string, (LlamaConfig Config, LoraSpec Lora)> Cases = new(StringComparer.Ordinal)
    {
        ["lora"] = (Config, new LoraSpec { Rank = 5, Alpha = 7 }),
        ["lora, some targets, biased"] = (Config with { AttentionBias = true, MlpBias = true }, new LoraSpec { Rank = 3, Targets = ["k_proj", "model.layers.1.*.up_proj", "o_proj"] }),
        ["lora, dropout"] = (Config, new LoraSpec { Rank = 4, Dropout = 0.3 }),
        ["rslora, norms of heads, whole modules"] = (Config with { ModelType = "qwen3", HeadDim = 12 }, new LoraSpec { Rank = 4, RankStabilized = true, ModulesToSave = ["lm_head", "q_norm", "norm", "input_layernorm"] }),
        ["dora"] = (Config, new LoraSpec { Rank = 4, Dora = true }),
        ["dora, dropout, biased, new rows"] = (Config with { AttentionBias = true, MlpBias = true }, new LoraSpec { Rank = 4, Dora = true, Dropout = 0.2, TokenRowsFrom = 70 }),
        ["dora, one of the products of each input, tied, new rows"] = (Config with { TieWordEmbeddings = true }, new LoraSpec { Rank = 2, Dora = true, TokenRowsFrom = 50, Targets = ["v_proj", "gate_proj"] }),
    };

    public static TheoryData<string> Names() => [.. Cases.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_gradient_equals_autograd(string name)
    {
        using var scope = NewDisposeScope();
        (LlamaConfig config, LoraSpec lora) = Cases[name];
        using var part = new LlamaPart(config, Precision.Fp32, PartSpan.Whole(config), new WeightTable(new WeightRates(), lora, true, 0, 1), lora: lora);
        Dictionary<string, Tensor> weights = Attach(part);
        using TokenBatch batch = TokenBatch.From([.. Enumerable.Range(0, 3).Select(i => new RandomRows(3, 60, config.VocabSize, seed: 8).Read(i))]);
        var masks = new FixedMasks(lora.Dropout, batch.TokenCount);
        (double loss, Dictionary<string, Tensor> gradients) = GradientTests.Written(part, batch, scale: 0.01, masks);

        foreach (string trained in gradients.Keys)
            weights[trained].requires_grad_(true);
        var model = new Dictionary<string, Tensor>(weights, StringComparer.Ordinal);
        foreach (string rows in weights.Keys.Where(AdapterTensors.IsRows))
            model[AdapterTensors.WeightOf(rows)] = cat([weights[AdapterTensors.WeightOf(rows)].narrow(0, 0, lora.TokenRowsFrom), weights[rows]]);
        Tensor expected = NaiveModel.Loss(config, model, batch, (input, module) => Linear(input, module, weights, lora, masks));
        (expected * 0.01).backward();

        Assert.Equal(expected.item<float>(), loss, Math.Abs(loss) * 1e-5);
        Assert.Equal(AdapterTensors.All(lora, config).Select(t => t.Name).Order(), gradients.Keys.Order());
        foreach ((string weight, Tensor gradient) in gradients)
        {
            float largest = weights[weight].grad!.abs().max().item<float>(), apart = (weights[weight].grad! - gradient).abs().max().item<float>();
            Assert.True(largest > 0 && apart <= (1e-4 * largest) + 1e-7, $"{weight}: {apart} apart, the largest gradient is {largest}");
        }
    }

    // What PEFT's LoRA and DoRA layers compute.
    private static Tensor Linear(Tensor x, string module, Dictionary<string, Tensor> weights, LoraSpec lora, FixedMasks masks)
    {
        Tensor w = weights[module + ".weight"];
        Tensor plain = nn.functional.linear(x, w, weights.GetValueOrDefault(module + ".bias"));
        if (!lora.IsTarget(module + ".weight"))
            return plain;
        Tensor a = weights[module + ".lora_A.weight"], b = weights[module + ".lora_B.weight"];
        // One mask for all products of an input, named after the first.
        string place = module.Replace("k_proj", "q_proj").Replace("v_proj", "q_proj").Replace("up_proj", "gate_proj");
        Tensor dropped = lora.Dropout > 0 ? x * masks.Of(place, x.shape[1], 0, x.shape[1], x.dtype) : x;
        Tensor low = dropped.matmul(a.t()).matmul(b.t()) * lora.Scale;
        if (!lora.Dora)
            return plain + low;
        Tensor g = weights[module + ".lora_magnitude_vector"] / (w + (b.matmul(a) * lora.Scale)).square().sum(1).sqrt().detach();
        return plain + ((g - 1) * dropped.matmul(w.t())) + (g * low);
    }

    private static Dictionary<string, Tensor> Attach(LlamaPart part)
    {
        random.manual_seed(3);
        var weights = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        foreach (BlockWeights block in part.Blocks)
        {
            block.Attach(randn(block.Count).mul(0.3f));
            block.Base?.Attach(randn(block.Base.Count).mul(0.3f));
            foreach (LocalWeight weight in block.Weights.Concat(block.Base?.Weights ?? []))
                weights[weight.Name] = block[weight.Name].clone();
            block.LayRows();
        }

        return weights;
    }

    /// <summary>Random masks that are the same each time they are asked for.</summary>
    private sealed class FixedMasks(double probability, long tokens) : IDropoutMasks
    {
        private readonly Dictionary<string, Tensor> _masks = new(StringComparer.Ordinal);

        public Tensor Of(string place, long features, long first, long count, ScalarType type)
        {
            if (!_masks.TryGetValue(place, out Tensor? mask))
                _masks[place] = mask = rand(tokens, features).gt(probability).to(type).div(1 - probability).DetachFromDisposeScope();
            return mask.narrow(1, first, count);
        }
    }
}
