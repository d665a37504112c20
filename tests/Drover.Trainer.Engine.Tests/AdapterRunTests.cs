using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;

namespace Drover.Trainer.Engine.Tests;

/// <summary>Runs with LoRA on one rank: what they start from, what they leave alone, and how they go on.</summary>
public sealed class AdapterRunTests
{
    private const int NewFrom = 80;
    private static readonly LoraSpec Lora = new() { Rank = 4, Dora = true, Dropout = 0.1, TokenRowsFrom = NewFrom };
    private static readonly EngineSpec Spec = SmallRun.Spec with { Lora = Lora, Activations = ActivationSpec.Recomputed, NeftuneAlpha = 5, Precision = Precision.Bf16, Optimizer = new AdamWSpec { LearningRate = 1e-2 } };

    [Fact]
    public void A_run_that_goes_on_has_the_losses_of_one_that_never_stopped_bit_for_bit()
    {
        double[] undisturbed = [.. SmallRun.Run(Spec, steps: 12).Select(s => s.Loss)];
        Dictionary<(string Kind, string Name), float[]> saved;
        using (TrainingEngine first = SmallRun.Engine(Spec, SmallRun.Config))
        {
            for (int i = 0; i < 6; i++)
                first.Step();
            saved = SmallRun.StateOf(first);
        }

        // The base is read from where it came from: nothing of it was saved.
        Assert.DoesNotContain(saved.Keys, k => !AdapterTensors.IsAdded(k.Name));
        using TrainingEngine second = SmallRun.Engine(Spec, SmallRun.Config);
        second.LoadState(6, (slice, values) =>
        {
            if (saved.TryGetValue((slice.Kind, slice.Name), out float[]? state))
                state.CopyTo(values);
            else
                LanguageModel.FillRandom(SmallRun.Config, slice, values, 11);
        });
        Assert.Equal(undisturbed[6..], Enumerable.Range(0, 6).Select(_ => second.Step().Loss));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Fresh_adapters_change_nothing(bool dora)
    {
        EngineSpec plain = SmallRun.Spec with { MicroBatchRows = 2 };
        double expected = SmallRun.Run(plain, steps: 1)[0].Loss;
        double actual = SmallRun.Run(plain with { Lora = new LoraSpec { Rank = 4, Dora = dora, TokenRowsFrom = NewFrom } }, steps: 1)[0].Loss;
        Assert.Equal(expected, actual, 1e-6);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task New_rows_learn_and_old_ones_stay_bit_for_bit(bool tied)
    {
        LlamaConfig config = SmallRun.Config with { TieWordEmbeddings = tied };
        using TrainingEngine engine = SmallRun.Engine(Spec, config);
        for (int i = 0; i < 5; i++)
            engine.Step();
        var trained = new Dictionary<string, float[]>();
        foreach (StateSlice slice in engine.State.Where(s => s.Kind == LogicalTensor.Weight))
            engine.CopyState(slice, trained[slice.Name] = new float[slice.Count]);
        float[] Start(string name, long[] shape)
        {
            float[] values = new float[TensorBox.Count(shape)];
            LanguageModel.FillRandom(config, StateSlice.Whole(LogicalTensor.Weight, name, shape), values, 11);
            return values;
        }

        TensorRead From(Func<string, long[], float[]> whole) => (name, shape, box, target, _) =>
        {
            whole(name, shape).AsSpan((int)(box.Offset[0] * shape[1]), target.Length).CopyTo(target.Span);
            return Task.CompletedTask;
        };
        var merge = new AdapterMerge(Lora, From(Start), From((name, _) => trained[name]));
        foreach (string name in tied ? [LlamaTensors.Embedding] : new[] { LlamaTensors.Embedding, LlamaTensors.Head })
        {
            long[] shape = [config.VocabSize, config.HiddenSize];
            float[] before = Start(name, shape), after = new float[before.Length];
            await merge.ReadAsync(name, shape, new TensorBox([0, 0], shape), after, TestContext.Current.CancellationToken);
            int old = NewFrom * config.HiddenSize;
            Assert.True(before.AsSpan(0, old).SequenceEqual(after.AsSpan(0, old)));
            Assert.True(before[old..].Zip(after[old..], (a, b) => Math.Abs(a - b)).Max() > 1e-3);
        }
    }

    [Fact]
    public void B_may_learn_faster_than_A()
    {
        float Moved(IReadOnlyList<WeightRate> groups)
        {
            EngineSpec spec = SmallRun.Spec with { Lora = new LoraSpec { Rank = 4 }, Rates = new WeightRates { Groups = groups }, Schedule = new ScheduleSpec { Kind = ScheduleKind.Constant, TotalSteps = 5 } };
            using TrainingEngine engine = SmallRun.Engine(spec, SmallRun.Config);
            engine.Step();
            StateSlice b = engine.State.First(s => s.Kind == LogicalTensor.Weight && AdapterTensors.IsB(s.Name));
            float[] values = new float[b.Count];
            engine.CopyState(b, values);
            return values.Max(Math.Abs);
        }

        // B begins at zero, and AdamW's first step is the learning rate.
        Assert.Equal(3e-3, Moved([]), 1e-5);
        Assert.Equal(16 * 3e-3, Moved([new WeightRate("*.lora_B.weight", 16)]), 1e-4);
    }

    [Fact]
    public void The_memory_of_a_base_is_its_compute_weights()
    {
        using TrainingEngine engine = SmallRun.Engine(Spec, SmallRun.Config);
        engine.Step();
        long model = LlamaTensors.All(SmallRun.Config).Sum(w => TensorBox.Count(w.Shape)), adapter = AdapterTensors.All(Lora, SmallRun.Config).Sum(w => TensorBox.Count(w.Shape));
        Assert.Equal(2 * (model + adapter), engine.Memory.PeakOf(MemoryClass.Weights));
        Assert.Equal(4 * adapter, engine.Memory.PeakOf(MemoryClass.Gradients));
        Assert.Equal(12 * adapter, engine.Memory.PeakOf(MemoryClass.Optimizer));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.25)]
    public void Dropout_drops_its_part_and_keeps_the_mean(double probability)
    {
        using var scope = TorchSharp.torch.NewDisposeScope();
        var batch = new MicroBatch([new([.. new int[40]], [.. new int[40]], [40])], [3]);
        TorchSharp.torch.Tensor mask = new AdapterDropout(probability, 1, batch, 1, 0, 48).Of("here", 1000, 0, 1000, TorchSharp.torch.ScalarType.Float32);
        TorchSharp.torch.Tensor row = mask.narrow(0, 0, 40);
        Assert.InRange(row.eq(0).to(TorchSharp.torch.ScalarType.Float32).mean().item<float>(), probability - 0.01, probability + 0.01);
        Assert.InRange(row.mean().item<float>(), 0.98, 1.02);
        // Padding; and a part of the features is a part of the mask.
        Assert.Equal(1, mask.narrow(0, 40, 8).min().item<float>());
        TorchSharp.torch.Tensor part = new AdapterDropout(probability, 1, batch, 1, 7, 5).Of("here", 1000, 333, 10, TorchSharp.torch.ScalarType.Float32);
        Assert.Equal(mask.narrow(0, 7, 5).narrow(1, 333, 10).flatten().data<float>().ToArray(), part.flatten().data<float>().ToArray());
    }
}
