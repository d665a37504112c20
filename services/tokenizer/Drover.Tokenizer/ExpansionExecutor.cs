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
        List<string> pieces = PieceList.Parse(await store.ReadTextAsync(spec.Pieces, cancellation).ConfigureAwait(false), spec.Pieces);
        ModelResizer? resizer = spec.BaseModel.Length == 0 ? null
            : await ModelResizer.OpenAsync(store, spec.BaseModel, spec.BaseTokenizer, old.Pieces.Count, cancellation).ConfigureAwait(false);

        job.Report("expanding", 0, pieces.Count, "pieces");
        ExpandedVocabulary expanded = VocabularyExpander.Expand(old, pieces, cancellation);
        foreach (string rejected in expanded.Rejected.Take(10))
            job.Log(LogLine.Types.Severity.Warning, $"Piece refused: {rejected}.");

        string tokenizer = ObjectKey.Join("tokenizers", spec.Name);
        string? settings = await ReadOptionalAsync(ObjectKey.Join(spec.BaseTokenizer, TokenizerFolder.ConfigFile), cancellation).ConfigureAwait(false);
        await WriteTokenizerAsync(tokenizer, spec, expanded.Vocabulary, settings, cancellation).ConfigureAwait(false);
        var result = new ExpansionResult
        {
            Tokenizer = tokenizer,
            OldVocabularySize = old.Pieces.Count,
            NewVocabularySize = expanded.Vocabulary.Pieces.Count,
            PiecesAdded = expanded.Added,
            IntermediatePiecesAdded = expanded.Intermediate,
            PiecesAlreadyKnown = expanded.Known,
            ContentHash = expanded.Vocabulary.ContentHash(),
        };
        result.RejectedPieces.AddRange(expanded.Rejected.Take(100));
        if (resizer is null)
            return result;

        result.Model = ObjectKey.Join("models", spec.Name);
        result.EmbeddingRows = PaddedRows(expanded.Vocabulary.Pieces.Count, spec.PadToMultiple);
        string configKey = ObjectKey.Join(result.Model, LlamaConfig.FileName);
        await store.DeleteAsync(configKey, cancellation).ConfigureAwait(false);
        await resizer.WriteWeightsAsync(result.Model, expanded.SubPieces, result.EmbeddingRows, spec.EmbeddingInit, (done, total) => job.Report("resizing the model", done, total, "bytes"), cancellation).ConfigureAwait(false);
        await WriteTokenizerAsync(result.Model, spec, expanded.Vocabulary, settings, cancellation).ConfigureAwait(false);
        if (await ReadOptionalAsync(ObjectKey.Join(spec.BaseModel, GenerationConfigFile), cancellation).ConfigureAwait(false) is { } generation)
            await store.PutTextAsync(ObjectKey.Join(result.Model, GenerationConfigFile), generation, cancellation).ConfigureAwait(false);
        await store.PutTextAsync(configKey, (resizer.Config with { VocabSize = result.EmbeddingRows }).ToJson(), cancellation).ConfigureAwait(false);
        return result;
    }

    internal static int PaddedRows(int vocabulary, int multiple) =>
        multiple <= 1 ? vocabulary : checked((vocabulary + multiple - 1) / multiple * multiple);

    private async Task WriteTokenizerAsync(string prefix, ExpansionSpec spec, Vocabulary vocabulary, string? settings, CancellationToken cancellation)
    {
        if (await ReadOptionalAsync(ObjectKey.Join(spec.BaseTokenizer, ChatTemplateFile), cancellation).ConfigureAwait(false) is { } template)
            await store.PutTextAsync(ObjectKey.Join(prefix, ChatTemplateFile), template, cancellation).ConfigureAwait(false);
        await TokenizerFiles.WriteAsync(store, prefix, vocabulary, settings, cancellation).ConfigureAwait(false);
    }

    private async Task<string?> ReadOptionalAsync(string key, CancellationToken cancellation) =>
        await store.FindAsync(key, cancellation).ConfigureAwait(false) is null ? null : await store.ReadTextAsync(key, cancellation).ConfigureAwait(false);
}
