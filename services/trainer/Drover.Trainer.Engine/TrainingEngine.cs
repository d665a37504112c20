using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;

namespace Drover.Trainer.Engine;

/// <summary>Trains a LLaMA on one rank, together with the other ranks of its collectives. Not thread safe: one thread drives it.</summary>
public sealed class TrainingEngine : IDisposable
{
    /// <summary>Allocates weights, gradients and moments. Load or initialize the weights before the first step.</summary>
    /// <exception cref="Drover.Errors.DroverException">InvalidArgument for a spec that cannot run; Unimplemented, naming what of the config is not supported; FailedPrecondition when the rows do not fit the model.</exception>
    public TrainingEngine(EngineSpec spec, LlamaConfig config, ICollectives collectives, IRowSource rows) => throw new NotImplementedException();

    /// <summary>The model being trained, for evaluation and text between steps.</summary>
    public LanguageModel Model => throw new NotImplementedException();

    /// <summary>Optimizer steps done: 0, or what <see cref="LoadState"/> was given, and one more for each <see cref="Step"/>.</summary>
    public long StepsDone => throw new NotImplementedException();

    /// <summary>Everything that a checkpoint needs: weights (fp32 master), then first, then second moments, each in the order of the blocks.</summary>
    public IReadOnlyList<StateTensor> State => throw new NotImplementedException();

    /// <summary>Starts from weights with fresh moments, at step 0.</summary>
    public void LoadWeights(StateReader read) => throw new NotImplementedException();

    /// <summary>Starts from random weights (see <see cref="LanguageModel.InitializeWeights"/>) with fresh moments, at step 0.</summary>
    public void InitializeWeights(long seed) => throw new NotImplementedException();

    /// <summary>Goes on from a saved state: every tensor of <see cref="State"/> is asked for.</summary>
    /// <param name="stepsDone">Steps that the state has behind it.</param>
    /// <param name="read">Fills them.</param>
    public void LoadState(long stepsDone, StateReader read) => throw new NotImplementedException();

    /// <summary>Copies a tensor of <see cref="State"/> out.</summary>
    public void CopyState(StateTensor tensor, Span<float> destination) => throw new NotImplementedException();

    /// <summary>
    /// Does step <see cref="StepsDone"/> + 1: its rows, forward, backward, reduction over ranks, clipping, AdamW.
    /// </summary>
    /// <exception cref="Drover.Errors.DroverException">Internal when the loss or the gradient is not finite: the weights are then those before the step.</exception>
    public StepResult Step() => throw new NotImplementedException();

    /// <inheritdoc />
    public void Dispose() => throw new NotImplementedException();
}
