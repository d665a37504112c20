using System.Collections.Concurrent;
using System.Text.Json;
using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Testing;
using Drover.Trainer.Collectives;

namespace Drover.Trainer.Engine.Tests;

/// <summary>
/// A run that is stopped, saved by its ranks as they save, and read by the ranks of another layout has the rows and the losses of one that
/// never stopped. Checkpoints lie between the steps of an epoch of five batches, and the layouts accumulate over 1 to 8 micro-batches.
/// </summary>
public sealed class ResumeMatrixTests : IDisposable
{
    private const int StepsEach = 3;
    private const int Rows = 40;

    private static readonly Dictionary<string, Layout> Layouts = new(StringComparer.Ordinal)
    {
        ["1"] = new(1, 4, new ParallelSpec()),
        ["ddp 2"] = new(2, 2, new ParallelSpec()),
        ["ddp 4"] = new(4, 2, new ParallelSpec()),
        ["zero1 offload"] = new(2, 4, new ParallelSpec { Placement = StatePlacement.Zero1, OffloadOptimizer = true }),
        ["zero2"] = new(2, 1, new ParallelSpec { Placement = StatePlacement.Zero2 }),
        ["zero3"] = new(2, 4, new ParallelSpec { Placement = StatePlacement.Zero3 }),
        ["zero3 of 4"] = new(4, 1, new ParallelSpec { Placement = StatePlacement.Zero3 }),
        ["tp 2"] = new(2, 2, new ParallelSpec { TensorParallel = 2 }),
        ["pp 2"] = new(2, 1, new ParallelSpec { PipelineParallel = 2 }),
        ["pp 2 interleaved"] = new(2, 2, new ParallelSpec { PipelineParallel = 2, PartsPerRank = 2 }),
        ["pp 2 x dp 2"] = new(4, 1, new ParallelSpec { PipelineParallel = 2 }),
        ["tp 2 x pp 2"] = new(4, 2, new ParallelSpec { TensorParallel = 2, PipelineParallel = 2 }),
        ["split_gather x dp 2 zero3"] = new(4, 2, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather, Placement = StatePlacement.Zero3 }),
        ["ring 2"] = new(2, 4, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.Ring }),
        ["all_to_all"] = new(2, 2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.AllToAll }),
        ["gemini"] = new(2, 2, new ParallelSpec { Placement = StatePlacement.Gemini, Gemini = new GeminiSpec { ChunkValues = 1500, OffloadWeightsFraction = 0.5, OffloadOptimizerFraction = 0.5 } }),
    };

    private static readonly Dictionary<string, EngineSpec> Runs = new(StringComparer.Ordinal)
    {
        ["plain"] = SmallRun.Spec,
        ["neftune"] = SmallRun.Spec with { NeftuneAlpha = 5 },
        ["lora"] = SmallRun.Spec with { NeftuneAlpha = 5, Lora = new LoraSpec { Rank = 4, Dora = true, Dropout = 0.1, TokenRowsFrom = 90 } },
        ["frozen"] = SmallRun.Spec with { HasBase = true, Rates = new WeightRates { Frozen = ["model.layers.*.mlp.*"] } },
    };

    private static readonly ConcurrentDictionary<string, Lazy<Progress>> Undisturbed = new(StringComparer.Ordinal);
    private readonly TemporaryFolder _folder = new();

    private static LlamaConfig Config { get; } = SmallRun.Config with { NumHiddenLayers = 4, TieWordEmbeddings = true };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("plain", "1", "ddp 2", "ddp 4")]
    [InlineData("plain", "ddp 4", "ddp 2", "1")]
    [InlineData("plain", "zero2", "tp 2", "pp 2")]
    [InlineData("plain", "pp 2 x dp 2", "zero3", "tp 2 x pp 2")]
    [InlineData("plain", "gemini", "ddp 2", "gemini")]
    [InlineData("plain", "zero3 of 4", "zero1 offload", "ring 2")]
    [InlineData("neftune", "all_to_all", "split_gather x dp 2 zero3", "pp 2 interleaved")]
    [InlineData("neftune", "tp 2", "zero2", "ddp 4")]
    [InlineData("lora", "ddp 2", "tp 2 x pp 2", "zero3")]
    [InlineData("lora", "gemini", "zero2", "1")]
    [InlineData("frozen", "zero3", "pp 2", "tp 2")]
    public async Task A_run_goes_on_under_another_layout_with_the_same_rows_and_losses(string run, params string[] layouts)
    {
        Progress expected = Undisturbed.GetOrAdd(run, _ => new Lazy<Progress>(() => Train(Runs[run], Layouts["1"], 0, StepsEach * layouts.Length, null, (_, _) => { }))).Value;
        var store = new FolderObjectStore(_folder.Path);
        CheckpointReader? saved = null;
        for (int leg = 0; leg < layouts.Length; leg++)
        {
            var written = new WrittenShard[Layouts[layouts[leg]].Ranks];
            string prefix = RunKeys.Checkpoint("matrix", (leg + 1) * StepsEach);
            Progress progress = Train(Runs[run], Layouts[layouts[leg]], leg * StepsEach, StepsEach, saved, (rank, engine) => written[rank] = Save(store, prefix, rank, engine));
            for (int i = 0; i < StepsEach; i++)
            {
                int step = (leg * StepsEach) + i;
                Assert.Equal(expected.Rows[step], progress.Rows[i]);
                Assert.True(Math.Abs(progress.Losses[i] - expected.Losses[step]) <= 1e-5 * expected.Losses[step], $"step {step + 1} on {layouts[leg]}: {progress.Losses[i]:R} against {expected.Losses[step]:R}");
            }

            saved = await PublishAsync(store, prefix, written);
        }
    }

    private static Progress Train(EngineSpec run, Layout layout, int stepsDone, int steps, CheckpointReader? from, Action<int, TrainingEngine> save)
    {
        var rows = new WatchedRows(new RandomRows(Rows, 24, Config.VocabSize, seed: 3));
        var perRank = new double[layout.Ranks][];
        var read = new List<long[]>();
        ThreadRanks.Run(layout.Ranks, collectives =>
        {
            using var engine = new TrainingEngine(run with { MicroBatchRows = layout.MicroBatchRows, Parallel = layout.Parallel }, Config, collectives, rows);
            if (from is null)
                engine.InitializeWeights(11);
            else
                engine.LoadState(stepsDone, (slice, values) => Read(from, slice, values));
            var losses = new List<double>();
            for (int i = 0; i < steps; i++)
            {
                long[] announced = engine.NextRowIds();
                losses.Add(engine.Step().Loss);
                // All ranks have read the step's rows by then: the loss is a sum over them.
                collectives.Barrier();
                if (collectives.Rank == 0)
                {
                    read.Add(rows.Take());
                    Assert.Equal(announced.Distinct().Order(), read[^1]);
                }

                collectives.Barrier();
            }

            perRank[collectives.Rank] = [.. losses];
            save(collectives.Rank, engine);
        });
        Assert.All(perRank, losses => Assert.Equal(perRank[0], losses));
        return new Progress(perRank[0], [.. read]);
    }

    // What was frozen was not saved: it is what the run began with.
    private static void Read(CheckpointReader from, StateSlice slice, Span<float> values)
    {
        if (!from.Contains(slice.Kind, slice.Name))
        {
            Assert.Equal(LogicalTensor.Weight, slice.Kind);
            LanguageModel.FillRandom(Config, slice, values, 11);
            return;
        }

        float[] buffer = new float[slice.Count];
        from.ReadAsync(slice.Kind, slice.Name, slice.Offset, slice.Shape, buffer, CancellationToken.None).GetAwaiter().GetResult();
        buffer.CopyTo(values);
    }

    private static WrittenShard Save(FolderObjectStore store, string prefix, int rank, TrainingEngine engine) =>
        CheckpointWriter.WriteShardAsync(store, prefix, rank, [.. engine.SavedState.Select(slice =>
        {
            float[] values = new float[slice.Count];
            engine.CopyState(slice, values);
            return new CheckpointSlice(slice.Kind, slice.Name, slice.GlobalShape, slice.Offset, slice.Shape, (first, target) => values.AsSpan((int)first, target.Length).CopyTo(target));
        })], CancellationToken.None).GetAwaiter().GetResult();

    private static async Task<CheckpointReader> PublishAsync(FolderObjectStore store, string prefix, WrittenShard[] written)
    {
        (IReadOnlyList<CheckpointShard> shards, IReadOnlyList<LogicalTensor> tensors) = CheckpointWriter.Assemble(written);
        var manifest = new CheckpointManifest
        {
            Run = "matrix",
            Step = 0,
            RowsConsumed = 0,
            TokensSeen = 0,
            Loss = 0,
            ModelConfig = Config.ToJson(),
            RunSpec = "{}",
            Dataset = "",
            DatasetHash = "",
            TokenizerHash = "",
            Shards = shards,
            Tensors = tensors,
        };
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(manifest, CheckpointManifestJson.Default.CheckpointManifest);
        await store.PutBytesAsync(ObjectKey.Join(prefix, CheckpointManifest.FileName), json, PutCondition.None, TestContext.Current.CancellationToken);
        return await CheckpointReader.OpenAsync(store, prefix, TestContext.Current.CancellationToken);
    }

    private sealed record Layout(int Ranks, int MicroBatchRows, ParallelSpec Parallel);

    private sealed record Progress(double[] Losses, long[][] Rows);

    /// <summary>Remembers which rows were read.</summary>
    private sealed class WatchedRows(IRowSource rows) : IRowSource
    {
        private readonly ConcurrentDictionary<long, bool> _read = [];

        public long RowCount => rows.RowCount;

        public int MaxLength => rows.MaxLength;

        public PackedRow Read(long rowId)
        {
            _read[rowId] = true;
            return rows.Read(rowId);
        }

        /// <summary>In rising order, and forgets them.</summary>
        public long[] Take()
        {
            long[] ids = [.. _read.Keys.Order()];
            _read.Clear();
            return ids;
        }
    }
}
