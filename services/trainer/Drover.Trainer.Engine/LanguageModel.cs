using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;

namespace Drover.Trainer.Engine;

/// <summary>A LLaMA with weights and without gradients: evaluates and continues text. Not thread safe.</summary>
public sealed class LanguageModel : IDisposable
{
    /// <summary>Allocates the weights; they are zero until they are loaded.</summary>
    /// <param name="config">The model.</param>
    /// <param name="precision">Of compute.</param>
    /// <param name="threads">Threads of the tensor library in this process; 0 leaves its own choice.</param>
    /// <exception cref="Drover.Errors.DroverException">Unimplemented, naming what of the config is not supported.</exception>
    public LanguageModel(LlamaConfig config, Precision precision, int threads = 0) => throw new NotImplementedException();

    /// <summary>The weights, in the order of the blocks.</summary>
    public IReadOnlyList<StateTensor> Weights => throw new NotImplementedException();

    /// <summary>Fills every weight.</summary>
    public void LoadWeights(StateReader read) => throw new NotImplementedException();

    /// <summary>Random weights: normal(0, initializer_range) from a counter generator keyed by seed, name and index; norms 1, biases 0.</summary>
    public void InitializeWeights(long seed) => throw new NotImplementedException();

    /// <summary>Loss over all rows of a source; ranks share the rows and all get the sums.</summary>
    public EvaluationSums Evaluate(IRowSource rows, int microBatchRows, ICollectives? collectives = null, CancellationToken cancellation = default) => throw new NotImplementedException();

    /// <summary>Logits of every position of one document, [ids, vocabulary] row-major.</summary>
    public float[] Logits(IReadOnlyList<int> ids) => throw new NotImplementedException();

    /// <summary>Greedy continuation of a prompt, without the prompt; ends before an id of <paramref name="endIds"/>.</summary>
    public int[] GenerateGreedy(IReadOnlyList<int> prompt, int maxNewTokens, IReadOnlyCollection<int> endIds, CancellationToken cancellation = default) => throw new NotImplementedException();

    /// <inheritdoc />
    public void Dispose() => throw new NotImplementedException();
}
