using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Trainer.V1;
using Drover.Tokenization;
using LoraSpec = Drover.Formats.Adapters.LoraSpec;

namespace Drover.Trainer;

/// <summary>Whether a spec can run: its fields, all wrong ones at once, and then whether the things it names are there and fit together.</summary>
internal sealed class TrainingChecks(IObjectStore store, WorkerLauncher launcher, TrainerOptions options, GpuCheck gpus)
{
    /// <summary>Checks a training spec and tells what would lie where.</summary>
    /// <exception cref="DroverException">InvalidArgument (fields), NotFound, FailedPrecondition, AlreadyExists (the run's name).</exception>
    public async Task<PlannedRun> CheckAsync(TrainingSpec spec, CancellationToken cancellation)
    {
        (LlamaConfig config, LoraSpec? lora) = await RequireAsync(TrainingSpecs.Problems(spec), spec, cancellation).ConfigureAwait(false);
        if (spec.Ranks > 1 && launcher.FindMpirun() is null)
            throw launcher.MpirunMissing(spec.Ranks);
        if (spec.Device == Device.Cuda)
            await gpus.RequireAsync(spec, cancellation).ConfigureAwait(false);
        DatasetManifest? longest = null;
        for (int i = 0; i < Math.Max(1, spec.Stages.Count); i++)
        {
            TrainingSpec own = TrainingStages.SpecOf(spec, i);
            DatasetManifest manifest = await CheckDatasetsAsync(own, config, cancellation).ConfigureAwait(false);
            foreach (HeldOutDataset heldOut in spec.HeldOut?.Datasets ?? [])
                await CheckHeldOutAsync(own, heldOut.Dataset, manifest, config, cancellation).ConfigureAwait(false);
            longest = longest is null || manifest.MaxLength > longest.MaxLength ? manifest : longest;
        }

        await CheckRunNameAsync(spec, cancellation).ConfigureAwait(false);
        PlannedRun run = Plan(spec, config, RowFacts.Of(longest!), lora);
        MemoryNeeds.Require(run.Plan);
        return run;
    }

    /// <summary>What would lie where; checks no more than that needs.</summary>
    /// <param name="spec">The run.</param>
    /// <param name="rowTokens">Tokens of a row; 0 for what the dataset says.</param>
    /// <param name="cancellation">Ends the call.</param>
    /// <exception cref="DroverException">InvalidArgument (fields), NotFound.</exception>
    public async Task<PlannedRun> PlanAsync(TrainingSpec spec, int rowTokens, CancellationToken cancellation)
    {
        List<string> problems = TrainingSpecs.PlanProblems(spec);
        if (rowTokens < 0 || (rowTokens == 0 && TrainingSpecs.Datasets(TrainingStages.SpecOf(spec, 0)).Count == 0))
            problems.Add($"row_tokens is {rowTokens} and dataset is '{spec.Dataset}': give the tokens of a row, or a dataset that says so");
        (LlamaConfig config, LoraSpec? lora) = await RequireAsync(problems, spec, cancellation).ConfigureAwait(false);
        RowFacts rows = RowFacts.Of(rowTokens);
        foreach (string dataset in rowTokens == 0 ? TrainingSpecs.Datasets(TrainingStages.SpecOf(spec, 0)) : [])
        {
            RowFacts its = RowFacts.Of((await PackedDataset.ReadManifestAsync(store, dataset, cancellation).ConfigureAwait(false)).Manifest);
            rows = its.Tokens > rows.Tokens ? its : rows;
        }

        return Plan(spec, config, rows, lora);
    }

    /// <summary>Other ways to spread a run, and itself, as far as they fit.</summary>
    public IReadOnlyList<PlannedRun> Proposals(PlannedRun run) => LayoutProposals.Of(run, IsElsewhere);

    // Ranks run on the machines of the host file.
    private bool IsElsewhere => options.HostFile.Length > 0;

    private PlannedRun Plan(TrainingSpec spec, LlamaConfig config, RowFacts rows, LoraSpec? lora) => new(spec, config, rows, lora, TrainingPlans.Of(spec, config, rows.Tokens, lora, IsElsewhere));

    /// <summary>Refuses wrong fields, and with them, where the model can be read, a layout that it cannot have: all at once.</summary>
    private async Task<(LlamaConfig Config, LoraSpec? Lora)> RequireAsync(List<string> problems, TrainingSpec spec, CancellationToken cancellation)
    {
        LlamaConfig? config = null;
        LoraSpec? lora = null;
        try
        {
            config = await ConfigAsync(spec, cancellation).ConfigureAwait(false);
            problems.AddRange(ParallelismSpecs.Resolve(spec.Parallelism).Problems(config, TrainingSpecs.Ranks(spec)).Select(p => $"parallelism: {p}"));
            problems.AddRange(ActivationSpecs.Resolve(spec).Problems(config));
            lora = await LoraSpecs.ResolveAsync(store, spec, config, cancellation).ConfigureAwait(false);
            for (int i = 0; i < Math.Max(1, spec.Stages.Count); i++)
                problems.AddRange(TrainingSpecs.RatesOf(TrainingStages.SpecOf(spec, i)).Problems(config, lora).Select(p => spec.Stages.Count == 0 ? p : $"stages[{i}] '{spec.Stages[i].Name}': {p}"));
            problems.AddRange(lora?.Problems(config) ?? []);
        }
        catch (DroverException) when (problems.Count > 0)
        {
            // The fields are told first.
        }

        return problems.Count == 0
            ? (config!, lora)
            : throw new DroverException(FailureCode.InvalidArgument, "INVALID_TRAINING_SPEC", $"The training spec: {string.Join("; ", problems)}.");
    }

    /// <summary>Checks an evaluation.</summary>
    public async Task CheckAsync(EvaluationSpec spec, CancellationToken cancellation)
    {
        var problems = new List<string>();
        if (spec.Model.Length == 0)
            problems.Add("model is empty; name a model folder or a checkpoint");
        if (spec.Dataset.Length == 0)
            problems.Add("dataset is empty; name a prepared dataset, e.g. datasets/mine");
        if (spec.MicroBatchRows < 0)
            problems.Add($"micro_batch_rows is {spec.MicroBatchRows}");
        if (problems.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_EVALUATION_SPEC", $"The evaluation spec: {string.Join("; ", problems)}.");
        (DatasetManifest manifest, _) = await PackedDataset.ReadManifestAsync(store, spec.Dataset, cancellation).ConfigureAwait(false);
        CheckVocabulary(spec.Dataset, manifest, await ModelConfigAsync(spec.Model, cancellation).ConfigureAwait(false));
    }

    /// <summary>Takes the run's name for this spec, for ever.</summary>
    /// <exception cref="DroverException">AlreadyExists when another spec has it.</exception>
    public async Task ClaimRunNameAsync(TrainingSpec spec, CancellationToken cancellation)
    {
        try
        {
            await store.PutBytesAsync(TrainingSpecs.IdentityKey(spec), TrainingSpecs.Identity(spec), PutCondition.IfAbsent, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code == FailureCode.AlreadyExists)
        {
            await CheckRunNameAsync(spec, cancellation).ConfigureAwait(false);
        }
    }

    private async Task CheckHeldOutAsync(TrainingSpec spec, string dataset, DatasetManifest trained, LlamaConfig config, CancellationToken cancellation)
    {
        (DatasetManifest manifest, _) = await PackedDataset.ReadManifestAsync(store, dataset, cancellation).ConfigureAwait(false);
        CheckVocabulary(dataset, manifest, config);
        if (manifest.TokenizerHash != trained.TokenizerHash)
            throw new DroverException(FailureCode.FailedPrecondition, "TOKENIZER_MISMATCH", $"The held-out dataset '{dataset}' was made with another tokenizer ('{manifest.Tokenizer}') than '{string.Join(", ", TrainingSpecs.Datasets(spec))}' ('{trained.Tokenizer}'). Prepare both with one.");
    }

    private async Task CheckRunNameAsync(TrainingSpec spec, CancellationToken cancellation)
    {
        string key = TrainingSpecs.IdentityKey(spec);
        if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is null)
            return;
        byte[] taken = await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false);
        if (!taken.AsSpan().SequenceEqual(TrainingSpecs.Identity(spec)))
            throw new DroverException(FailureCode.AlreadyExists, "RUN_NAME_TAKEN", $"The run '{spec.Name}' exists with another spec ('{key}' shows it). Give this run another name; to go on with that one, use its spec.");
    }

    private async Task<LlamaConfig> ConfigAsync(TrainingSpec spec, CancellationToken cancellation)
    {
        if (spec.InitialCase != TrainingSpec.InitialOneofCase.FromScratch)
            return await StartConfigAsync(spec.InitialCase == TrainingSpec.InitialOneofCase.BaseModel ? spec.BaseModel : spec.Checkpoint, cancellation).ConfigureAwait(false);
        string key = spec.FromScratch.Config;
        if (key.Length == 0 || await store.FindAsync(key, cancellation).ConfigureAwait(false) is null)
            throw new DroverException(FailureCode.NotFound, "CONFIG_NOT_FOUND", $"There is no model config '{key}' (from_scratch.config).");
        return LlamaConfig.Parse(await store.ReadTextAsync(key, cancellation).ConfigureAwait(false), key);
    }

    private Task<LlamaConfig> StartConfigAsync(string prefix, CancellationToken cancellation) => prefix.Length == 0
        ? throw new DroverException(FailureCode.InvalidArgument, "INVALID_MODEL", "The model to start from is empty.")
        : ModelConfigAsync(prefix, cancellation);

    private async Task<LlamaConfig> ModelConfigAsync(string prefix, CancellationToken cancellation) =>
        prefix.Contains("/checkpoints/", StringComparison.Ordinal)
            ? (await CheckpointReader.OpenAsync(store, prefix, cancellation).ConfigureAwait(false)).ModelConfig
            : (await HuggingFaceModel.OpenAsync(store, prefix, cancellation).ConfigureAwait(false)).Config;

    /// <summary>Checks the dataset, or all of a mixture.</summary>
    /// <returns>Of those with the longest rows the first.</returns>
    private async Task<DatasetManifest> CheckDatasetsAsync(TrainingSpec spec, LlamaConfig config, CancellationToken cancellation)
    {
        ITextTokenizer? tokenizer = spec.Tokenizer.Length == 0 ? null : await TokenizerFolder.LoadAsync(store, spec.Tokenizer, cancellation).ConfigureAwait(false);
        DatasetManifest? longest = null;
        foreach (string dataset in TrainingSpecs.Datasets(spec))
        {
            (DatasetManifest manifest, _) = await PackedDataset.ReadManifestAsync(store, dataset, cancellation).ConfigureAwait(false);
            CheckVocabulary(dataset, manifest, config);
            if (tokenizer is not null)
                CheckTokenizer(dataset, manifest, spec, tokenizer);
            if (longest is not null && longest.TokenizerHash != manifest.TokenizerHash)
                throw new DroverException(FailureCode.FailedPrecondition, "TOKENIZER_MISMATCH", $"The datasets of the mixture were made with different tokenizers: '{dataset}' with '{manifest.Tokenizer}', others with '{longest.Tokenizer}'. Prepare all of them with one.");
            longest = longest is null || manifest.MaxLength > longest.MaxLength ? manifest : longest;
        }

        return longest!;
    }

    private static void CheckTokenizer(string dataset, DatasetManifest manifest, TrainingSpec spec, ITextTokenizer tokenizer)
    {
        if (tokenizer.ContentHash != manifest.TokenizerHash)
            throw new DroverException(FailureCode.FailedPrecondition, "TOKENIZER_MISMATCH", $"The dataset '{dataset}' was made with the tokenizer '{manifest.Tokenizer}', whose content is not that of '{spec.Tokenizer}'. Prepare the data with '{spec.Tokenizer}', or name the tokenizer that made it.");
    }

    private static void CheckVocabulary(string dataset, DatasetManifest manifest, LlamaConfig config)
    {
        if (manifest.Rows == 0)
            throw new DroverException(FailureCode.FailedPrecondition, "EMPTY_DATASET", $"The dataset '{dataset}' has no rows.");
        if (manifest.VocabularySize > config.VocabSize)
            throw new DroverException(FailureCode.FailedPrecondition, "VOCABULARY_MISMATCH", $"The dataset '{dataset}' was made with a tokenizer of {manifest.VocabularySize} ids, and the model has {config.VocabSize} embedding rows. Expand the model with that tokenizer, or prepare the data with the model's.");
    }
}
