using Drover.Formats.HuggingFace;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Tokenization;
using Drover.Tokenization.Expansion;

namespace Drover.Tokenizer;

/// <summary>
/// Expands a tokenizer and resizes a model to it. Everything is read and checked before anything is written; config.json, which makes
/// the model folder one, goes first when there is an old one and comes last.
/// </summary>
internal sealed class ExpansionExecutor(IObjectStore store) : JobExecutor<ExpansionSpec, ExpansionResult>
{
    public const string JobKind = "expansion";

    private const string ChatTemplateFile = "chat_template.jinja";
    private const string GenerationConfigFile = "generation_config.json";

    public override string Kind => JobKind;

    public override async Task<ExpansionResult> RunAsync(JobContext job, ExpansionSpec spec, CancellationToken cancellation)
    {
        job.Report("reading the tokenizer", 0, 0, "");
        Vocabulary old = await TokenizerFolder.ReadAsync(store, spec.BaseTokenizer, cancellation).ConfigureAwait(false);
        ModelResizer? resizer = spec.BaseModel.Length == 0 ? null
            : await ModelResizer.OpenAsync(store, spec.BaseModel, spec.BaseTokenizer, old.Pieces.Count, cancellation).ConfigureAwait(false);
        ExpandedVocabulary expanded = spec.ExpandedTokenizer.Length > 0
            ? ExpandedVocabulary.Between(old, await TokenizerFolder.ReadAsync(store, spec.ExpandedTokenizer, cancellation).ConfigureAwait(false), spec.BaseTokenizer, spec.ExpandedTokenizer)
            : await ExpandAsync(job, spec, old, cancellation).ConfigureAwait(false);
        foreach (string rejected in expanded.Rejected.Take(10))
            job.Log(LogLine.Types.Severity.Warning, $"Piece refused: {rejected}.");

        string tokenizer = spec.ExpandedTokenizer.Length > 0 ? spec.ExpandedTokenizer : ObjectKey.Join("tokenizers", spec.Name);
        string settingsOf = spec.ExpandedTokenizer.Length > 0 ? spec.ExpandedTokenizer : spec.BaseTokenizer;
        string? settings = await ReadOptionalAsync(ObjectKey.Join(settingsOf, TokenizerFolder.ConfigFile), cancellation).ConfigureAwait(false);
        if (spec.ExpandedTokenizer.Length == 0)
            await WriteTokenizerAsync(tokenizer, settingsOf, expanded.Vocabulary, settings, cancellation).ConfigureAwait(false);
        var result = new ExpansionResult
        {
            Tokenizer = tokenizer,
            OldVocabularySize = old.Pieces.Count,
            NewVocabularySize = expanded.Vocabulary.Pieces.Count,
            PiecesAdded = expanded.Added,
            IntermediatePiecesAdded = expanded.Intermediate,
            PiecesAlreadyKnown = expanded.Known,
            PiecesFiltered = expanded.Filtered,
            ContentHash = expanded.Vocabulary.ContentHash(),
        };
        result.RejectedPieces.AddRange(expanded.Rejected.Take(100));
        if (resizer is not null)
        {
            result.EmbeddingRows = PaddedRows(expanded.Vocabulary.Pieces.Count, spec.PadToMultiple);
            result.NewParameters = resizer.NewParameters(result.EmbeddingRows);
        }

        await new ExpansionReport(store).WriteAsync(job, spec, old, expanded.Vocabulary, result, cancellation).ConfigureAwait(false);
        if (resizer is null)
            return result;

        result.Model = ObjectKey.Join("models", spec.Name);
        string configKey = ObjectKey.Join(result.Model, LlamaConfig.FileName);
        await store.DeleteAsync(configKey, cancellation).ConfigureAwait(false);
        await resizer.WriteWeightsAsync(result.Model, expanded.SubPieces, result.EmbeddingRows, spec.EmbeddingInit, (done, total) => job.Report("resizing the model", done, total, "bytes"), cancellation).ConfigureAwait(false);
        await WriteTokenizerAsync(result.Model, settingsOf, expanded.Vocabulary, settings, cancellation).ConfigureAwait(false);
        if (await ReadOptionalAsync(ObjectKey.Join(spec.BaseModel, GenerationConfigFile), cancellation).ConfigureAwait(false) is { } generation)
            await store.PutTextAsync(ObjectKey.Join(result.Model, GenerationConfigFile), generation, cancellation).ConfigureAwait(false);
        await store.PutTextAsync(configKey, (resizer.Config with { VocabSize = result.EmbeddingRows }).ToJson(), cancellation).ConfigureAwait(false);
        return result;
    }

    internal static int PaddedRows(int vocabulary, int multiple) =>
        multiple <= 1 ? vocabulary : checked((vocabulary + multiple - 1) / multiple * multiple);

    private async Task<ExpandedVocabulary> ExpandAsync(JobContext job, ExpansionSpec spec, Vocabulary old, CancellationToken cancellation)
    {
        IReadOnlyList<string> pieces = await new PieceSource(store).ReadAsync(job, spec, old, cancellation).ConfigureAwait(false);
        job.Report("expanding", 0, pieces.Count, "pieces");
        return VocabularyExpander.Expand(old, pieces, cancellation, PieceSource.ScriptsOf(spec));
    }

    private async Task WriteTokenizerAsync(string prefix, string from, Vocabulary vocabulary, string? settings, CancellationToken cancellation)
    {
        if (await ReadOptionalAsync(ObjectKey.Join(from, ChatTemplateFile), cancellation).ConfigureAwait(false) is { } template)
            await store.PutTextAsync(ObjectKey.Join(prefix, ChatTemplateFile), template, cancellation).ConfigureAwait(false);
        await TokenizerFiles.WriteAsync(store, prefix, vocabulary, settings, cancellation).ConfigureAwait(false);
    }

    private async Task<string?> ReadOptionalAsync(string key, CancellationToken cancellation) =>
        await store.FindAsync(key, cancellation).ConfigureAwait(false) is null ? null : await store.ReadTextAsync(key, cancellation).ConfigureAwait(false);
}
