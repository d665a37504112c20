using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>A LLaMA with weights and without gradients: evaluates and continues text. Not thread safe.</summary>
public sealed class LanguageModel : IDisposable
{
    private const int EvaluationChunkTokens = 1024;

    /// <summary>Allocates the weights; they are zero until they are loaded.</summary>
    /// <param name="config">The model.</param>
    /// <param name="precision">Of compute.</param>
    /// <param name="threads">Threads of the tensor library in this process; 0 leaves its own choice.</param>
    /// <exception cref="DroverException">Unimplemented, naming what of the config is not supported.</exception>
    public LanguageModel(LlamaConfig config, Precision precision, int threads = 0)
    {
        if (threads > 0)
            set_num_threads(threads);
        Blocks = new LlamaModel(config, precision);
        Weights = [.. Blocks.Blocks.SelectMany(b => b.Names.Select(n => new StateTensor(LogicalTensor.Weight, n, b.PlaceOf(n).Shape)))];
    }

    /// <summary>Its config.</summary>
    public LlamaConfig Config => Blocks.Config;

    /// <summary>The weights, in the order of the blocks.</summary>
    public IReadOnlyList<StateTensor> Weights { get; }

    internal LlamaModel Blocks { get; }

    /// <summary>Fills every weight.</summary>
    public void LoadWeights(StateReader read)
    {
        using var _ = no_grad();
        foreach (StateTensor weight in Weights)
        {
            using var scope = NewDisposeScope();
            float[] values = new float[weight.Count];
            read(weight, values);
            BlockOf(weight.Name)[weight.Name].detach().copy_(tensor(values, weight.Shape));
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
            CheckIds(taken);
            using TokenBatch batch = TokenBatch.From(taken);
            if (batch.LabelCount == 0)
                continue;
            Tensor hidden = Blocks.Infer(batch).index_select(0, batch.Labelled);
            loss += HeadLoss.Run(hidden, batch.Targets, Blocks.HeadMatrix.detach(), EvaluationChunkTokens, 1, null, null);
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
        using TokenBatch batch = TokenBatch.FromDocument(ids);
        return Head(Blocks.Infer(batch)).data<float>().ToArray();
    }

    /// <summary>Greedy continuation of a prompt, without the prompt; ends before an id of <paramref name="endIds"/>.</summary>
    public int[] GenerateGreedy(IReadOnlyList<int> prompt, int maxNewTokens, IReadOnlyCollection<int> endIds, CancellationToken cancellation = default)
    {
        if (prompt.Count == 0)
            throw new DroverException(FailureCode.InvalidArgument, "EMPTY_PROMPT", "The prompt has no token: give at least the beginning-of-sequence token.");
        List<int> ids = [.. prompt];
        while (ids.Count < prompt.Count + maxNewTokens)
        {
            cancellation.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            using TokenBatch batch = TokenBatch.FromDocument(ids);
            int next = (int)Head(Blocks.Infer(batch).narrow(0, ids.Count - 1, 1)).argmax().item<long>();
            if (endIds.Contains(next))
                break;
            ids.Add(next);
        }

        return [.. ids.Skip(prompt.Count)];
    }

    /// <inheritdoc />
    public void Dispose() => Blocks.Dispose();

    internal static void FillRandom(LlamaConfig config, StateTensor weight, Span<float> values, long seed)
    {
        if (weight.Shape.Length > 1)
            CounterGenerator.FillNormal(values, CounterGenerator.KeyOf(seed, weight.Name), config.InitializerRange);
        else
            values.Fill(weight.Name.EndsWith(".bias", StringComparison.Ordinal) ? 0 : 1);
    }

    internal void CheckIds(IEnumerable<PackedRow> rows)
    {
        foreach (PackedRow row in rows)
        {
            foreach (int id in row.InputIds)
            {
                if ((uint)id >= (uint)Config.VocabSize)
                    throw new DroverException(FailureCode.FailedPrecondition, "VOCABULARY_MISMATCH", $"The dataset holds token id {id}; the model has {Config.VocabSize} embedding rows. Prepare the dataset with the model's tokenizer, or resize the model to it.");
            }
        }
    }

    private Tensor Head(Tensor hidden)
    {
        using var _ = no_grad();
        return hidden.matmul(Blocks.HeadMatrix.t()).to(ScalarType.Float32);
    }

    private BlockWeights BlockOf(string name) => Blocks.Blocks.First(b => b.Names.Contains(name));
}
