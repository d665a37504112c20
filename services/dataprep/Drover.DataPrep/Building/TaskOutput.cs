using System.Runtime.InteropServices;
using Drover.DataPrep.Documents;
using Drover.DataPrep.Rows;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Building;

/// <summary>What a task makes of its records: rows, rejects, counts.</summary>
internal sealed class TaskOutput : IDisposable
{
    private const int MostLengthsOnStack = 256;
    private readonly BuildPlan _plan;
    private readonly int _task;
    private readonly IPacker _packer;
    private readonly ShardWriter _shards;
    private readonly RejectLog _rejects;
    private readonly TaskCounts _counts = new();
    private readonly CategorySums _categories = new();
    private readonly Dictionary<string, long> _languages = [];
    // Of the thread that packs.
    private readonly CategorySums _inRows = new();
    // Where a document is from, for what a packer rejects of it.
    private readonly Dictionary<TokenizedDocument, RecordPlace> _places = new(ReferenceEqualityComparer.Instance);

    public TaskOutput(IObjectStore store, BuildPlan plan, int task, string workFolder, CancellationToken cancellation)
    {
        (_plan, _task) = (plan, task);
        _shards = new ShardWriter(store, plan, task, workFolder, cancellation);
        _rejects = new RejectLog(store, plan, task, workFolder, cancellation);
        int capacity = plan.Settings.MaxLength;
        _packer = plan.Settings.Packing switch
        {
            Packing.Seed => new SeedPacker(capacity, plan.Settings.NumSplicedDatasetBins, EmitAsOne, Lose),
            Packing.OnePerRow => new SinglePacker(capacity, Emit),
            _ => new WindowPacker(capacity, WindowPacker.WindowFor(capacity), Emit),
        };
    }

    /// <summary>Documents and tokens taken so far.</summary>
    public (long Documents, long Tokens) Taken { get; private set; }

    /// <summary>Takes what a record gave.</summary>
    public void Add(RecordPlace place, RawDocument raw, DocumentOutcome outcome)
    {
        _counts.LinesIn++;
        Taken = (Taken.Documents + 1, Taken.Tokens + outcome.TokensIn);
        int kept = outcome.Document?.Ids.Length ?? 0;
        CategorySum category = _categories.Of(raw.Category);
        category.Documents += outcome.Document is null ? 0 : 1;
        category.TokensIn += outcome.TokensIn;
        if (outcome.Document is null)
            _counts.LinesRejected++;
        if (outcome.Reject is not null)
            WriteReject(place, outcome.Reject, outcome.Message ?? "", raw.Category, outcome.TokensIn - kept, raw);
        if (outcome.Document is null)
            return;
        _counts.TextBytes += outcome.Document.TextBytes;
        _counts.AddDocument(kept);
        CollectionsMarshal.GetValueRefOrAddDefault(_languages, raw.Language, out _)++;
        TokenizedDocument document = outcome.Document;
        if (_plan.Settings.Packing == Packing.Seed)
        {
            // Its packer keeps all documents to the end.
            document = document with { Ids = document.Ids.ToArray() };
            _places[document] = place;
        }

        _packer.Add(document);
    }

    /// <summary>Takes a record that holds no document.</summary>
    public void Reject(RecordPlace place, RejectedException why, RawDocument? raw = null)
    {
        _counts.LinesIn++;
        _counts.LinesRejected++;
        WriteReject(place, why.Reason, why.Message, raw?.Category, 0, raw);
    }

    /// <summary>Puts the documents that wait into rows. After it nothing is added.</summary>
    public void Pack() => _packer.Finish();

    /// <summary>Stores what is left.</summary>
    /// <returns>The record of the task, not stored yet.</returns>
    public CompletionRecord Finish()
    {
        _categories.AddTo(_counts);
        _inRows.AddTo(_counts);
        foreach ((string language, long documents) in _languages)
            _counts.Languages.Add(language, documents);
        ShardSource[] from = [.. _plan.Tasks[_task].Pieces.Select(p => new ShardSource(_plan.Sources[p.Source].Key, p.FirstLine, p.Length))];
        return new CompletionRecord { SpecHash = _plan.SpecHash, Task = _task, Shards = [.. _shards.Finish().Select(s => s with { From = from })], Rejects = _rejects.Finish(), Counts = _counts };
    }

    public void Dispose()
    {
        _packer.Dispose();
        _shards.Dispose();
        _rejects.Dispose();
    }

    private void Emit(ReadOnlySpan<RowPiece> pieces)
    {
        Span<int> lengths = pieces.Length <= MostLengthsOnStack ? stackalloc int[pieces.Length] : new int[pieces.Length];
        for (int i = 0; i < lengths.Length; i++)
            lengths[i] = pieces[i].Length;
        Emit(pieces, lengths);
    }

    // The seed's rows are one stretch of text to the model: attention crosses their documents.
    private void EmitAsOne(ReadOnlySpan<RowPiece> pieces)
    {
        int all = 0;
        foreach (RowPiece piece in pieces)
            all += piece.Length;
        Emit(pieces, [all]);
    }

    private void Emit(ReadOnlySpan<RowPiece> pieces, ReadOnlySpan<int> documentLengths)
    {
        (Span<int> ids, Span<int> labels) = _shards.AddRow(documentLengths);
        int at = 0;
        foreach (ref readonly RowPiece piece in pieces)
        {
            ReadOnlySpan<int> tokens = piece.Ids.Span;
            tokens.CopyTo(ids[at..]);
            Span<int> rest = labels.Slice(at, piece.Length);
            int done = 0, labelled = 0;
            foreach (LabelRange range in piece.Labels.Span)
            {
                rest[done..range.Start].Fill(PackedRow.Ignored);
                tokens[range.Start..range.End].CopyTo(rest[range.Start..]);
                labelled += range.End - range.Start;
                done = range.End;
            }

            rest[done..].Fill(PackedRow.Ignored);
            CategorySum category = _inRows.Of(piece.Category);
            category.TokensInRows += piece.Length;
            category.LabelTokens += labelled;
            at += piece.Length;
        }

        _counts.AddRow(at, _plan.Settings.MaxLength);
    }

    private void Lose(TokenizedDocument document, int tokens, string reason)
    {
        string message = reason == RejectReasons.SeedTruncated
            ? $"the seed cuts the document at {_plan.Settings.MaxLength} tokens"
            : "the seed drops the row that is open at the end of a buffer";
        WriteReject(_places[document], reason, message, document.Category, tokens, null);
        if (reason == RejectReasons.SeedDroppedRow)
            _categories.Of(document.Category).Documents--;
    }

    private void WriteReject(RecordPlace place, string reason, string message, string? category, long tokens, RawDocument? raw)
    {
        _counts.AddReject(reason, tokens);
        if (category is not null)
            _categories.Of(category).TokensRejected += tokens;
        _rejects.Add(place.Source, place.Unit, place.Number, reason, message, tokens, _plan.Settings.KeepRejectedText ? raw?.Text : null);
    }
}

/// <summary>Where a record is from.</summary>
/// <param name="Source">Key of the file.</param>
/// <param name="Unit">What <paramref name="Number"/> counts.</param>
/// <param name="Number">From 1.</param>
internal readonly record struct RecordPlace(string Source, string Unit, long Number);
