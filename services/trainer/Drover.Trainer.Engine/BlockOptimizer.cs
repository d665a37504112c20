using Drover.Formats.Checkpoints;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>
/// The training state of one block: fp32 master weights, fp32 gradient, AdamW's moments, all flat. With fp32 compute the
/// master weights are the compute weights; with bf16 they are rounded into them after each update.
/// </summary>
internal sealed class BlockOptimizer : IDisposable
{
    private readonly BlockWeights _weights;
    private readonly bool _ownsMaster;
    private readonly Tensor _master;
    private readonly Tensor _firstMoment;
    private readonly Tensor _secondMoment;

    public BlockOptimizer(BlockWeights weights)
    {
        _weights = weights;
        _ownsMaster = weights.Flat.dtype != ScalarType.Float32;
        _master = _ownsMaster ? New() : weights.Flat;
        Gradient = New();
        _firstMoment = New();
        _secondMoment = New();
    }

    public BlockWeights Weights => _weights;

    /// <summary>Flat fp32 gradient of the global step.</summary>
    public Tensor Gradient { get; }

    /// <summary>The part of the flat gradient that belongs to a weight, in its shape.</summary>
    public Tensor GradientOf(string name)
    {
        (long offset, long count, long[] shape) = _weights.PlaceOf(name);
        return Gradient.narrow(0, offset, count).view(shape);
    }

    /// <summary>Sum of squares of the gradient.</summary>
    public double SquaredNorm()
    {
        using var scope = NewDisposeScope();
        double norm = Gradient.norm().item<float>();
        return norm * norm;
    }

    public void Update(AdamWSpec spec, double learningRate, Tensor step, Tensor gradientScale)
    {
        Update(spec, learningRate, step, gradientScale, 0, _weights.DecayCount, spec.WeightDecay);
        Update(spec, learningRate, step, gradientScale, _weights.DecayCount, _weights.Count - _weights.DecayCount, 0);
        PublishMaster();
    }

    /// <summary>Flat tensor of a kind of state.</summary>
    public Tensor StateOf(string kind) => kind switch
    {
        LogicalTensor.Weight => _master,
        LogicalTensor.FirstMoment => _firstMoment,
        LogicalTensor.SecondMoment => _secondMoment,
        _ => throw new ArgumentException($"There is no state '{kind}'.", nameof(kind)),
    };

    /// <summary>Values of one tensor of the state.</summary>
    public Span<float> ValuesOf(string kind, string name)
    {
        (long offset, long count, _) = _weights.PlaceOf(name);
        return TensorMemory.FloatsOf(StateOf(kind)).Slice(checked((int)offset), checked((int)count));
    }

    /// <summary>Rounds the master weights into the compute weights.</summary>
    public void PublishMaster()
    {
        using var scope = NewDisposeScope();
        using var _ = no_grad();
        if (_ownsMaster)
            _weights.Flat.copy_(_master);
    }

    public void ForgetGradient()
    {
        using var scope = NewDisposeScope();
        Gradient.zero_();
    }

    public void ForgetMoments()
    {
        using var scope = NewDisposeScope();
        _firstMoment.zero_();
        _secondMoment.zero_();
    }

    public void Dispose()
    {
        if (_ownsMaster)
            _master.Dispose();
        Gradient.Dispose();
        _firstMoment.Dispose();
        _secondMoment.Dispose();
    }

    private void Update(AdamWSpec spec, double learningRate, Tensor step, Tensor gradientScale, long start, long count, double weightDecay)
    {
        if (count == 0)
            return;
        using var scope = NewDisposeScope();
        using var _ = no_grad();
        AtenScripts.AdamW(_master.narrow(0, start, count), Gradient.narrow(0, start, count), _firstMoment.narrow(0, start, count), _secondMoment.narrow(0, start, count), step, gradientScale, learningRate, spec.Beta1, spec.Beta2, weightDecay, spec.Epsilon);
    }

    private Tensor New() => zeros([_weights.Count], ScalarType.Float32).DetachFromDisposeScope();
}
