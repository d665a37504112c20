using Drover.Errors;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Tokenizer.V1;

namespace Drover.Tokenizer;

/// <summary>Refuses at the door what a job could not do: malformed fields and references to nothing.</summary>
internal sealed class SpecChecks(IObjectStore store)
{
    private const int MaxVocabulary = 1_000_000;
    private const int MaxMultiple = 65_536;

    public async Task CheckAsync(TokenizerTrainingSpec? spec, CancellationToken cancellation)
    {
        if (spec is null)
            throw Invalid("spec is missing.");
        CheckName(spec.Name);
        if (spec.Sources.Count == 0)
            throw Invalid("spec.sources is empty: name at least one JSONL file or prefix of the object store.");
        if (spec.VocabularySize is < 300 or > MaxVocabulary)
            throw Invalid($"spec.vocabulary_size is {spec.VocabularySize}; it must be 300 to {MaxVocabulary}.");
        if (!(spec.CharacterCoverage is >= 0 and <= 1))
            throw Invalid($"spec.character_coverage is {spec.CharacterCoverage}; it must be 0 (for 0.9995) to 1.");
        foreach (string source in spec.Sources)
            await CorpusReader.FilesOfAsync(store, source, cancellation).ConfigureAwait(false);
    }

    public async Task CheckAsync(ExpansionSpec? spec, CancellationToken cancellation)
    {
        if (spec is null)
            throw Invalid("spec is missing.");
        CheckName(spec.Name);
        ObjectKey.Check(spec.BaseTokenizer);
        ObjectKey.Check(spec.Pieces);
        if (spec.PadToMultiple is < 0 or > MaxMultiple)
            throw Invalid($"spec.pad_to_multiple is {spec.PadToMultiple}; it must be 0 to {MaxMultiple}.");
        if (!Enum.IsDefined(spec.EmbeddingInit))
            throw Invalid($"spec.embedding_init {(int)spec.EmbeddingInit} is not known.");
        if (spec.BaseTokenizer == $"tokenizers/{spec.Name}" || spec.BaseModel == $"models/{spec.Name}" || spec.BaseTokenizer == $"models/{spec.Name}")
            throw Invalid($"spec.name '{spec.Name}' would overwrite what is being expanded; choose another.");
        await store.GetInfoAsync(spec.Pieces, cancellation).ConfigureAwait(false);
        if (spec.BaseModel.Length > 0)
        {
            ObjectKey.Check(spec.BaseModel);
            if (await store.FindAsync(ObjectKey.Join(spec.BaseModel, LlamaConfig.FileName), cancellation).ConfigureAwait(false) is null)
                throw new DroverException(FailureCode.NotFound, "MODEL_NOT_FOUND", $"There is no model at '{spec.BaseModel}': it has no config.json.");
        }
    }

    private static void CheckName(string name)
    {
        ObjectKey.Check(name);
        if (name.Contains('/', StringComparison.Ordinal))
            throw Invalid($"spec.name '{name}' is one part of a key: no slash.");
    }

    private static DroverException Invalid(string message) => new(FailureCode.InvalidArgument, "INVALID_SPEC", message);
}
