using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Weights;
using Drover.ObjectStore;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>
/// What a run begins or goes on with: the model, its adapters, and the model that checkpoints will refer to for what is frozen.
/// </summary>
internal sealed class RunStart
{
    private readonly TrainSpec _spec;
    private readonly IModelWeights? _weights;
    private readonly PeftAdapter? _adapter;
    private readonly CheckpointWeights? _resumed;

    private RunStart(TrainSpec spec, LlamaConfig config, IModelWeights? weights, PeftAdapter? adapter)
    {
        (_spec, Config, _weights, _adapter) = (spec, config, weights, adapter);
        Lora = adapter is null ? spec.Lora : adapter.Lora with { Dropout = spec.Lora!.Dropout };
    }

    private RunStart(TrainSpec spec, CheckpointReader resume, CheckpointWeights weights) =>
        (_spec, Config, Resume, _resumed, Lora) = (spec, resume.ModelConfig, resume, weights, resume.Manifest.Adapter);

    /// <summary>The checkpoint that the run goes on from; null for a start.</summary>
    public CheckpointReader? Resume { get; }

    /// <summary>The model.</summary>
    public LlamaConfig Config { get; }

    /// <summary>Adapters; null for none.</summary>
    public LoraSpec? Lora { get; }

    /// <summary>What checkpoints of the run refer to, on rank 0; null where they hold everything.</summary>
    public BaseReference? Base { get; private set; }

    /// <summary>Opens everything. Rank 0 looks at the content of the base: the others trust it.</summary>
    public static async Task<RunStart> OpenAsync(RankContext rank, TrainSpec train)
    {
        bool isFirst = rank.Collectives.Rank == 0;
        RunStart start = train.ResumeFrom.Length > 0
            ? await ResumeAsync(rank.Store, train, verifies: isFirst).ConfigureAwait(false)
            : await BeginAsync(rank.Store, train).ConfigureAwait(false);
        if (train.HasBase && isFirst)
            start.Base = start.Resume?.Manifest.Base ?? await ReferenceAsync(rank.Store, train, start._weights).ConfigureAwait(false);
        return start;
    }

    /// <summary>Fills the engine.</summary>
    public void Load(TrainingEngine engine)
    {
        if (Resume is not null && _resumed is not null && _spec.Stage is { } stage && Resume.Manifest.Step == stage.StartStep)
            engine.BeginStage(ModelSource.StateOf(Resume, _resumed), Resume.Manifest.LossScale, Resume.Manifest.Guard, keepMoments: !stage.ResetsMoments);
        else if (Resume is not null && _resumed is not null)
            engine.LoadState(Resume.Manifest.Step, ModelSource.StateOf(Resume, _resumed), Resume.Manifest.LossScale, Resume.Manifest.Guard);
        else if (_weights is not null)
            engine.LoadWeights(ModelSource.ReaderOf(_weights.ReadAsync), _adapter is null ? null : ModelSource.ReaderOf(_adapter.ReadAsync));
        else
            engine.InitializeWeights(_spec.ScratchSeed);
    }

    private static async Task<RunStart> ResumeAsync(IObjectStore store, TrainSpec train, bool verifies)
    {
        CheckpointReader resume = await CheckpointReader.OpenAsync(store, train.ResumeFrom, CancellationToken.None).ConfigureAwait(false);
        return new RunStart(train, resume, await CheckpointWeights.OpenAsync(store, resume, CancellationToken.None, verifies).ConfigureAwait(false));
    }

    private static async Task<RunStart> BeginAsync(IObjectStore store, TrainSpec train)
    {
        if (train.ScratchConfig.Length > 0)
            return new RunStart(train, LlamaConfig.Parse(await store.ReadTextAsync(train.ScratchConfig, CancellationToken.None).ConfigureAwait(false), train.ScratchConfig), null, null);
        IModelWeights weights = await ModelWeights.OpenAsync(store, train.StartModel, CancellationToken.None).ConfigureAwait(false);
        PeftAdapter? adapter = train.LoraAdapter.Length == 0 ? null : await PeftAdapter.OpenAsync(store, train.LoraAdapter, weights.Config, CancellationToken.None).ConfigureAwait(false);
        return new RunStart(train, weights.Config, weights, adapter);
    }

    private static async Task<BaseReference> ReferenceAsync(IObjectStore store, TrainSpec train, IModelWeights? weights)
    {
        weights ??= await ModelWeights.OpenAsync(store, train.StartModel, CancellationToken.None).ConfigureAwait(false);
        return new BaseReference(weights.Prefix, await weights.HashAsync(CancellationToken.None).ConfigureAwait(false));
    }
}
