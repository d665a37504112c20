using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>A LLaMA with weights and without gradients: evaluates, and is what <see cref="TextGenerator"/> continues texts with. Not thread safe.</summary>
public sealed class LanguageModel : IDisposable
{
    private const int EvaluationChunkTokens = 1024;
    private readonly List<Tensor> _flats = [];
    private readonly CachedAttention _attention;

    /// <summary>Allocates the weights; they are zero until they are loaded.</summary>
    /// <param name="config">The model.</param>
    /// <param name="precision">Of compute.</param>
    /// <param name="threads">Threads of the tensor library in this process; 0 leaves its own choice.</param>
    /// <param name="device">Where it computes; null for the CPU.</param>
    /// <exception cref="DroverException">Unimplemented, naming what of the config is not supported.</exception>
    public LanguageModel(LlamaConfig config, Precision precision, int threads = 0, Device? device = null)
    {
        if (threads > 0)
            set_num_threads(threads);
        _attention = new CachedAttention(FlashAttention.For(device ?? CPU, LlamaPart.TypeOf(precision), config.HeadSize));
        Blocks = new LlamaPart(config, precision, PartSpan.Whole(config), attention: _attention, device: device);
        foreach (BlockWeights block in Blocks.Blocks)
        {
            _flats.Add(zeros([block.Count], Blocks.Type, Blocks.Device).DetachFromDisposeScope());
            block.Attach(_flats[^1]);
        }

        Weights = [.. Blocks.Blocks.SelectMany(b => b.Weights.Select(w => StateSlice.Whole(LogicalTensor.Weight, w.Name, w.Shape)))];
    }

    // Uses the weights that a training engine has here, as they stand; they stay its own.
    internal LanguageModel(LlamaConfig config, Precision precision, IReadOnlyList<BlockWeights> lent)
    {
        Device device = lent[0].Flat!.device;
        _attention = new CachedAttention(FlashAttention.For(device, LlamaPart.TypeOf(precision), config.HeadSize));
        Blocks = new LlamaPart(config, precision, PartSpan.Whole(config), attention: _attention, device: device);
        for (int i = 0; i < lent.Count; i++)
            Blocks.Blocks[i].Attach(lent[i].Flat!);
        Weights = [];
    }

    /// <summary>Its config.</summary>
    public LlamaConfig Config => Blocks.Config;

    /// <summary>The weights, in the order of the blocks.</summary>
    public IReadOnlyList<StateSlice> Weights { get; }

    internal LlamaPart Blocks { get; }

    /// <summary>Fills every weight.</summary>
    public void LoadWeights(StateReader read)
    {
        foreach (StateSlice weight in Weights)
        {
            using var scope = NewDisposeScope();
            float[] values = new float[weight.Count];
            read(weight, values);
            BlockOf(weight.Name)[weight.Name].copy_(tensor(values, weight.Shape, device: CPU));
        }
    }

    /// <summary>Random weights: normal(0, initializer_range) from a counter generator keyed by seed, name and index; norms 1, biases 0.</summary>
    public void InitializeWeights(long seed) => LoadWeights((weight, values) => FillRandom(Config, weight, values, seed));

    /// <summary>Loss over all rows of a source; ranks share the rows and all get the sums.</summary>
    public EvaluationSums Evaluate(IRowSource rows, int microBatchRows, ICollectives? collectives = null, CancellationToken cancellation = default)
    {
        int rank = collectives?.Rank ?? 0, ranks = collectives?.WorldSize ?? 1;
        double loss = 0;
        long labels = 0;
        for (long start = (long)rank * microBatchRows; start < rows.RowCount; start += (long)ranks * microBatchRows)
        {
            cancellation.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            PackedRow[] taken = [.. Enumerable.Range(0, (int)Math.Min(microBatchRows, rows.RowCount - start)).Select(i => rows.Read(start + i))];
            CheckIds(Config, taken);
            using TokenBatch batch = TokenBatch.From(taken, device: Blocks.Device);
            if (batch.LabelCount == 0)
                continue;
            Tensor hidden = Blocks.Infer(batch).index_select(0, batch.Labelled);
            loss += HeadLoss.Run(hidden, batch.Targets, HeadMatrix, new WholeVocabulary(), EvaluationChunkTokens, 1, null, null).item<double>();
            labels += batch.LabelCount;
        }

        double[] sums = [loss, labels];
        collectives?.AllReduceSum(sums);
        return new EvaluationSums(sums[0], (long)sums[1]);
    }

    /// <summary>Logits of every position of one document, [ids, vocabulary] row-major.</summary>
    public float[] Logits(IReadOnlyList<int> ids)
    {
        using var scope = NewDisposeScope();
        using TokenBatch batch = TokenBatch.FromDocuments([ids], Blocks.Device);
        return Head(Blocks.Infer(batch)).cpu().data<float>().ToArray();
    }

    /// <summary>Keys and values for texts that are continued; the caller's to dispose.</summary>
    /// <param name="texts">How many.</param>
    /// <param name="capacity">Tokens that each may come to, its prompt among them.</param>
    internal KeyValueCache NewCache(int texts, int capacity) => new(Config, Blocks.Type, texts, capacity, Blocks.Device);

    /// <summary>Reads whole prompts into an empty cache.</summary>
    /// <returns>Logits of what follows each, [prompts, vocabulary], fp32, in the caller's dispose scope.</returns>
    internal Tensor Read(IReadOnlyList<IReadOnlyList<int>> prompts, KeyValueCache cache)
    {
        using TokenBatch batch = TokenBatch.FromDocuments(prompts, Blocks.Device);
        long end = 0;
        return Read(batch, cache, [.. prompts.Select(p => (end += p.Count) - 1)]);
    }

    /// <summary>Reads the next token of each text.</summary>
    /// <returns>As of the prompts.</returns>
    internal Tensor Read(IReadOnlyList<int> ids, KeyValueCache cache)
    {
        using TokenBatch batch = TokenBatch.Following(ids, cache.Lengths, Blocks.Device);
        return Read(batch, cache, null);
    }

    /// <inheritdoc />
    public void Dispose()
    {
        Blocks.Dispose();
        foreach (Tensor flat in _flats)
            flat.Dispose();
    }

    /// <summary>Random values of a slice: each depends on its place in the whole tensor, not on the slice.</summary>
    internal static void FillRandom(LlamaConfig config, StateSlice slice, Span<float> values, long seed)
    {
        if (slice.Shape.Length == 1)
        {
            values.Fill(slice.Name.EndsWith(".bias", StringComparison.Ordinal) ? 0 : 1);
            return;
        }

        ulong key = CounterGenerator.KeyOf(seed, slice.Name);
        int columns = (int)slice.Shape[1];
        for (int row = 0; row < slice.Shape[0]; row++)
            CounterGenerator.FillNormal(values.Slice(row * columns, columns), key, config.InitializerRange, ((slice.Offset[0] + row) * slice.GlobalShape[1]) + slice.Offset[1]);
    }

    internal static void CheckIds(LlamaConfig config, IEnumerable<PackedRow> rows)
    {
        foreach (PackedRow row in rows)
        {
            foreach (int id in row.InputIds)
            {
                if ((uint)id >= (uint)config.VocabSize)
                    throw new DroverException(FailureCode.FailedPrecondition, "VOCABULARY_MISMATCH", $"The dataset holds token id {id}; the model has {config.VocabSize} embedding rows. Prepare the dataset with the model's tokenizer, or resize the model to it.");
            }
        }
    }

    private Tensor Read(TokenBatch batch, KeyValueCache cache, long[]? rows)
    {
        using var scope = NewDisposeScope();
        _attention.Cache = cache;
        try
        {
            Tensor hidden = Blocks.Infer(batch, cache);
            return Head(rows is null ? hidden : hidden.index_select(0, tensor(rows, device: Blocks.Device))).MoveToOuterDisposeScope();
        }
        finally
        {
            _attention.Cache = null;
        }
    }

    private Tensor Head(Tensor hidden)
    {
        return hidden.matmul(HeadMatrix.t()).to(ScalarType.Float32);
    }

    private Tensor HeadMatrix => Blocks.HeadMatrixBlock![Blocks.HeadMatrixName];

    private BlockWeights BlockOf(string name) => Blocks.Blocks.First(b => b.Weights.Any(w => w.Name == name));
}
