using System.Runtime.InteropServices;
using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

/// <summary>
/// What can be said of GPUs without one. Steps run on libtorch's meta device, whose tensors have shapes and no values: operators that are given
/// a tensor of it and one of the CPU refuse, as they do on a GPU. Those that do not refuse are why <c>Drover.Architecture.Tests</c> looks at every
/// creation of a tensor.
/// </summary>
public class DeviceTests
{
    public static TheoryData<string, bool> Matrix()
    {
        var matrix = new TheoryData<string, bool>();
        foreach (string strategy in StrategyEquivalenceTests.Strategies.Keys)
            matrix.Add(strategy, matrix.Count % 2 == 0);
        return matrix;
    }

    [Theory]
    [MemberData(nameof(Matrix))]
    public void Every_tensor_of_a_step_follows_the_device(string strategy, bool tied)
    {
        (int ranks, ParallelSpec parallel) = StrategyEquivalenceTests.Strategies[strategy];
        LlamaConfig config = SmallRun.Config with { NumHiddenLayers = 5, TieWordEmbeddings = tied, ModelType = "qwen3", AttentionBias = true };
        EngineSpec spec = SmallRun.Spec with { Device = META, Precision = tied ? Precision.Bf16 : Precision.Fp32, MicroBatchRows = 1, GlobalBatchRows = 4, Activations = tied ? new ActivationSpec { Mode = RecomputeMode.Full, Offload = true } : new ActivationSpec(), Parallel = parallel, HeadChunkTokens = 16, NeftuneAlpha = 5 };
        MetaKernels.Add();
        ThreadRanks.Run(ranks, world => Train(new RanksWithoutValues(world), spec, config));
        Assert.Empty(MetaKernels.Mixtures);
    }

    [Theory]
    [InlineData("ddp 2", true)]
    [InlineData("zero3 offload", false)]
    [InlineData("gemini", true)]
    [InlineData("split_gather", true)]
    public void Every_tensor_of_a_step_with_adapters_follows_the_device(string strategy, bool dora)
    {
        (int ranks, ParallelSpec parallel) = AdapterStrategyTests.Strategies[strategy];
        LlamaConfig config = SmallRun.Config with { TieWordEmbeddings = !dora };
        var lora = new LoraSpec { Rank = 4, Dora = dora, Dropout = 0.1, TokenRowsFrom = 40, ModulesToSave = ["norm"] };
        EngineSpec spec = SmallRun.Spec with { Device = META, Precision = dora ? Precision.Bf16 : Precision.Fp32, MicroBatchRows = 1, GlobalBatchRows = 4, Parallel = parallel, HeadChunkTokens = 16, Lora = lora };
        MetaKernels.Add();
        ThreadRanks.Run(ranks, world => Train(new RanksWithoutValues(world), spec, config));
        Assert.Empty(MetaKernels.Mixtures);
    }

    [Fact]
    public void A_model_that_continues_texts_follows_the_device()
    {
        MetaKernels.Add();
        using var scope = NewDisposeScope();
        using var model = new LanguageModel(SmallRun.Config, Precision.Bf16, threads: 1, META);
        model.InitializeWeights(3);
        using KeyValueCache cache = model.NewCache(2, 70);
        AssertOnMeta(model.Read([[1, 2, 3], [4]], cache));
        AssertOnMeta(model.Read([5, 6], cache));
        cache.Keep([1]);
        AssertOnMeta(model.Read([7], cache));
        Assert.Empty(MetaKernels.Mixtures);
    }

    [Fact]
    public void Values_go_in_and_out_of_a_stretch_of_a_tensor()
    {
        using Tensor tensor = zeros([5], device: CPU);
        TensorMemory.CopyIn([1, 2, 3], tensor, 0);
        TensorMemory.CopyIn([4, 5], tensor, 3);
        float[] values = new float[5];
        TensorMemory.CopyOut(tensor, 0, values);
        Assert.Equal([1, 2, 3, 4, 5], values);
        TensorMemory.CopyOut(tensor, 3, values.AsSpan(0, 2));
        Assert.Equal([4, 5, 3, 4, 5], values);
        using Tensor there = zeros([5], device: META);
        TensorMemory.CopyIn(values, there, 0);
        TensorMemory.Copy(there, tensor);
        Assert.Equal([1, 2, 3, 4, 5], tensor.data<float>().ToArray());
    }

    [Fact]
    public void Pinned_memory_without_cuda_is_refused()
    {
        Assert.SkipWhen(TorchSharp.torch.cuda.is_available(), "this machine has CUDA");
        Assert.Throws<InvalidOperationException>(() => TensorMemory.Pinned(8, ScalarType.Float32));
    }

    [Fact]
    public void The_flash_kernel_is_called_as_libtorch_declares_it()
    {
        using var scope = NewDisposeScope();
        using var visible = new VisibleKeys([0, 0, 0, 3, 3], longest: 3, window: 2, ScalarType.BFloat16, CPU);
        Assert.Equal([0, 3, 5], visible.DocumentBorders.data<int>().ToArray());
        Assert.IsType<TiledAttention>(FlashAttention.For(CPU, ScalarType.BFloat16, 8));
        Assert.IsType<FlashAttention>(FlashAttention.For(new Device(TorchSharp.DeviceType.CUDA, 0), ScalarType.BFloat16, 8));
        Assert.IsType<TiledAttention>(FlashAttention.For(new Device(TorchSharp.DeviceType.CUDA, 0), ScalarType.Float32, 8));
        // The script is compiled and the arguments fit: what is missing on the CPU is the kernel.
        var flash = (FlashAttention)FlashAttention.For(new Device(TorchSharp.DeviceType.CUDA, 0), ScalarType.BFloat16, 8);
        Tensor q = zeros([4, 5, 8], ScalarType.BFloat16, CPU), k = zeros([2, 5, 8], ScalarType.BFloat16, CPU);
        Exception forward = Assert.ThrowsAny<Exception>(() => flash.Forward(q, k, k, visible));
        Assert.Contains("Could not run 'aten::_flash_attention_forward' with arguments from the 'CPU' backend", forward.Message, StringComparison.Ordinal);
        Tensor normalizer = zeros([4, 5], ScalarType.Float32, CPU), none = zeros([2], ScalarType.Int64, CPU);
        Exception backward = Assert.ThrowsAny<Exception>(() => AtenScripts.FlashBackward(q, q, k, k, q, normalizer, visible.DocumentBorders, 3, none, none, 1, 0.5));
        Assert.Contains("Could not run 'aten::_flash_attention_backward' with arguments from the 'CPU' backend", backward.Message, StringComparison.Ordinal);
    }

    private static void Train(ICollectives world, EngineSpec spec, LlamaConfig config)
    {
        using var outer = NewDisposeScope();
        using var grid = new RankGrid(spec.Parallel, world);
        var ledger = new MemoryLedger(spec.Device);
        using var model = new RankModel(config, spec, grid, ledger);
        var pass = new StepPass(model.Parts, model.States, grid, spec, ledger);
        var rows = new RandomRows(16, 24, config.VocabSize, seed: 3);
        foreach (StateSlice slice in model.Base)
            model.SetBase(slice, new float[slice.Count]);
        foreach (StateSlice slice in model.State)
            model.SetState(slice, new float[slice.Count]);
        model.PublishMaster();
        // Gemini's first step only records: what moves, moves in the second.
        for (int step = 1; step <= 2; step++)
        {
            using var scope = NewDisposeScope();
            model.Arena?.BeginStep();
            foreach (BlockState state in model.States.Values)
                state.BeginStep();
            pass.Run([.. Enumerable.Range(0, spec.GlobalBatchRows / grid.Replicas).Select(i => new MicroBatch([rows.Read(i)], [i]))], 1, step);
            // Where a GPU's scalar would be brought to the host's state, one without a value cannot be.
            Device place = spec.Parallel.OffloadOptimizer || spec.Parallel.Placement == StatePlacement.Gemini ? CPU : spec.Device;
            Tensor count = tensor((float)step, place), scale = tensor(1f, place);
            foreach (BlockState state in model.States.Values.Reverse())
            {
                state.FinishGradient();
                Assert.All(state.OwnedGradient, g => Assert.True(g.is_meta || spec.Parallel.Placement == StatePlacement.Gemini));
            }

            foreach (BlockState state in model.States.Values)
            {
                // The device has no fused AdamW; where the optimizer's state is in host memory, the update is a real one.
                if (TryUpdate(state, spec.Optimizer, count, scale))
                    continue;
                Assert.False(spec.Parallel.OffloadOptimizer);
                if (spec.Parallel.Placement == StatePlacement.Gemini)
                    return;
                state.PublishMaster();
            }

            model.Arena?.EndStep();
        }
    }

    private static bool TryUpdate(BlockState state, AdamWSpec optimizer, Tensor step, Tensor scale)
    {
        try
        {
            state.Update(optimizer, 1e-3, step, scale);
            return true;
        }
        catch (ExternalException e) when (e.Message.Contains("aten::_fused_adamw_: attempted to run this operator with Meta tensors", StringComparison.Ordinal))
        {
            return false;
        }
    }

    private static void AssertOnMeta(Tensor tensor) => Assert.True(tensor.is_meta);
}

/// <summary>Ranks that are there, and whose tensors have no values to give: what is named by address is started and done at once.</summary>
internal sealed class RanksWithoutValues(ICollectives ranks) : ICollectives, ICollectiveHandle
{
    public int Rank => ranks.Rank;

    public int WorldSize => ranks.WorldSize;

    public string Axis => ranks.Axis;

    public TrafficCounter Traffic => ranks.Traffic;

    public ICollectives Split(string axis, int color) => new RanksWithoutValues(ranks.Split(axis, color));

    public ICollectiveHandle StartAllReduceSum(nint data, long count) => this;

    public ICollectiveHandle StartAllReduceMax(nint data, long count) => this;

    public ICollectiveHandle StartReduceScatterSum(nint source, nint destination, long countPerRank) => this;

    public ICollectiveHandle StartAllGather(nint source, nint destination, long bytesPerRank) => this;

    public ICollectiveHandle StartAllToAll(nint source, nint destination, ReadOnlySpan<long> sendBytes, ReadOnlySpan<long> receiveBytes) => this;

    public ICollectiveHandle StartSend(nint data, long bytes, int to, int tag) => this;

    public ICollectiveHandle StartReceive(nint data, long bytes, int from, int tag) => this;

    public void AllReduceSum(Span<double> values) => ranks.AllReduceSum(values);

    public void AllReduceMax(Span<double> values) => ranks.AllReduceMax(values);

    public void Broadcast(nint data, long bytes, int root) => ranks.Broadcast(data, bytes, root);

    public void Barrier() => ranks.Barrier();

    public void Abort(int exitCode) => ranks.Abort(exitCode);

    public void Wait()
    {
        // It is done.
    }

    public void Dispose() => ranks.Dispose();
}
