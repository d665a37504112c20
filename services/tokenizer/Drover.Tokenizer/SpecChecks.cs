using Drover.Errors;
using Drover.Formats.HuggingFace;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;
using Drover.ObjectStore;
using Drover.Protocol.Tokenizer.V1;
using Drover.Tokenization.Training;

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
        await CheckPiecesAsync(spec, cancellation).ConfigureAwait(false);
        if (spec.PadToMultiple is < 0 or > MaxMultiple)
            throw Invalid($"spec.pad_to_multiple is {spec.PadToMultiple}; it must be 0 to {MaxMultiple}.");
        if (!Enum.IsDefined(spec.EmbeddingInit))
            throw Invalid($"spec.embedding_init {(int)spec.EmbeddingInit} is not known.");
        if (spec.BaseTokenizer == $"tokenizers/{spec.Name}" || spec.BaseModel == $"models/{spec.Name}" || spec.BaseTokenizer == $"models/{spec.Name}")
            throw Invalid($"spec.name '{spec.Name}' would overwrite what is being expanded; choose another.");
        if (spec.BaseModel.Length > 0)
        {
            ObjectKey.Check(spec.BaseModel);
            if (await store.FindAsync(ObjectKey.Join(spec.BaseModel, LlamaConfig.FileName), cancellation).ConfigureAwait(false) is null)
                throw new DroverException(FailureCode.NotFound, "MODEL_NOT_FOUND", $"There is no model at '{spec.BaseModel}': it has no config.json.");
        }
    }

    private async Task CheckPiecesAsync(ExpansionSpec spec, CancellationToken cancellation)
    {
        int ways = (spec.Pieces.Length > 0 ? 1 : 0) + (spec.Learning is not null ? 1 : 0) + (spec.ExpandedTokenizer.Length > 0 ? 1 : 0);
        if (ways != 1)
            throw Invalid("spec must have exactly one of pieces, learning and expanded_tokenizer.");
        if (spec.ExpandedTokenizer.Length > 0 && spec.BaseModel.Length == 0)
            throw Invalid("spec.base_model is empty: with expanded_tokenizer there is nothing to do but to resize it.");
        foreach (string name in spec.Scripts)
        {
            if (!Enum.TryParse(name, ignoreCase: true, out Script script) || script <= Script.Common || int.TryParse(name, out _))
                throw Invalid($"spec.scripts has '{name}'; known are {string.Join(", ", Enum.GetNames<Script>().Skip((int)Script.Common + 1)).ToLowerInvariant()}.");
        }

        if (spec.Learning is { } learning)
        {
            if (learning.Sources.Count == 0)
                throw Invalid("spec.learning.sources is empty: name at least one JSONL file or prefix of the object store.");
            if (learning.Count is < 1 or > MaxVocabulary)
                throw Invalid($"spec.learning.count is {learning.Count}; it must be 1 to {MaxVocabulary}.");
            if (learning.MinimumFrequency is < 0 or 1)
                throw Invalid($"spec.learning.minimum_frequency is {learning.MinimumFrequency}; it must be 0 (for 5) or at least 2.");
            if (!(learning.CharacterCoverage is >= 0 and <= 1))
                throw Invalid($"spec.learning.character_coverage is {learning.CharacterCoverage}; it must be 0 (for 0.9995) to 1.");
            if (!(learning.HeldOutShare is >= 0 and <= 0.5))
                throw Invalid($"spec.learning.held_out_share is {learning.HeldOutShare}; it must be 0 (for 0.02) to 0.5.");
        }

        foreach (string source in (spec.Learning?.Sources ?? []).Concat(spec.ReportSources))
            await CorpusReader.FilesOfAsync(store, source, cancellation).ConfigureAwait(false);
        if (spec.Pieces.Length == 0)
            return;
        ObjectKey.Check(spec.Pieces);
        // A prefix with a vocabulary has no object of its own name.
        string vocabulary = ObjectKey.Join(spec.Pieces, SentencePieceModel.FileName);
        string json = ObjectKey.Join(spec.Pieces, TokenizerJsonModel.FileName);
        if (await store.FindAsync(vocabulary, cancellation).ConfigureAwait(false) is null && await store.FindAsync(json, cancellation).ConfigureAwait(false) is null)
            await store.GetInfoAsync(spec.Pieces, cancellation).ConfigureAwait(false);
    }

    private static void CheckName(string name)
    {
        ObjectKey.Check(name);
        if (name.Contains('/', StringComparison.Ordinal))
            throw Invalid($"spec.name '{name}' is one part of a key: no slash.");
    }

    private static DroverException Invalid(string message) => new(FailureCode.InvalidArgument, "INVALID_SPEC", message);
}
