using System.Text.Json;
using Drover.DataPrep.Documents;
using Drover.DataPrep.Quality;
using Drover.DataPrep.Sources;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Building;

/// <summary>How far a task is.</summary>
/// <param name="Bytes">Of its input.</param>
/// <param name="Documents">Read.</param>
/// <param name="Tokens">Of those.</param>
internal readonly record struct TaskProgress(long Bytes, long Documents, long Tokens);

/// <summary>
/// Does one task: reads its records, tokenizes, packs, writes shards, rejects and, last, the completion record. Memory: what is read
/// ahead, one record, one window of the packer (see <see cref="Rows.WindowPacker"/>) and one record batch, whatever the input's size.
/// </summary>
internal sealed class BuildTask(IObjectStore store, TokenizerCache tokenizers, string workFolder)
{
    private const int RecordsPerReport = 64;

    /// <summary>Does the task, or nothing when its record says that it is done.</summary>
    /// <param name="plan">The build.</param>
    /// <param name="phase">What is to be done with the task's pieces.</param>
    /// <param name="task">Which of its tasks.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="computed">Told when what is left to do is storing, which takes time but no processor.</param>
    /// <param name="cancellation">Stops the work; what is written by then is not trusted.</param>
    public async Task RunAsync(BuildPlan plan, TaskPhase phase, int task, Action<TaskProgress> progress, Action computed, CancellationToken cancellation)
    {
        if (await CompletionRecord.FindAsync(store, plan, phase, task, cancellation).ConfigureAwait(false) is not null)
            return;
        ITextTokenizer tokenizer = await tokenizers.GetAsync(plan.Settings.Tokenizer, plan.TokenizerHash, cancellation).ConfigureAwait(false);
        IDocumentReader reader = DocumentReaders.Create(plan.Settings, tokenizer, plan.ChatTemplate);
        DuplicateList duplicates = phase == TaskPhase.Rows ? await DuplicateList.ReadAsync(store, plan, task, cancellation).ConfigureAwait(false) : DuplicateList.None;
        CompletionRecord record;
        try
        {
            record = phase == TaskPhase.Signatures
                ? SignatureTask.Run(store, plan, task, Records(plan, task, reader, progress, cancellation), workFolder, cancellation)
                : MakeRows(plan, task, reader, duplicates, progress, computed, cancellation);
        }
        catch (IOException e) when (WorkFolder.IsFull(e))
        {
            throw WorkFolder.Full(workFolder, e);
        }

        await record.PutAsync(store, plan, phase, cancellation).ConfigureAwait(false);
    }

    private CompletionRecord MakeRows(BuildPlan plan, int task, IDocumentReader reader, DuplicateList duplicates, Action<TaskProgress> progress, Action computed, CancellationToken cancellation)
    {
        using var output = new TaskOutput(store, plan, task, workFolder, cancellation);
        var filter = new QualityFilter(plan.Settings.Filters);
        long index = 0;
        foreach (ReadRecord record in Records(plan, task, reader, p => progress(p with { Documents = output.Taken.Documents, Tokens = output.Taken.Tokens }), cancellation))
        {
            if (record.Document is null)
            {
                output.Reject(record.Place, record.Fault!);
                continue;
            }

            Take(record, reader, filter.Refuse(record.Document) ?? duplicates.Refuse(index), output);
            index++;
        }

        output.Pack();
        computed();
        return output.Finish();
    }

    private static void Take(ReadRecord record, IDocumentReader reader, RejectedException? refused, TaskOutput output)
    {
        try
        {
            DocumentOutcome outcome = reader.Tokenize(record.Document!);
            // What is refused is tokenized, too: the sum of tokens holds for every document.
            output.Add(record.Place, record.Document!, refused is null ? outcome : new DocumentOutcome(null, outcome.TokensIn, refused.Reason, refused.Message));
        }
        catch (RejectedException e)
        {
            output.Reject(record.Place, e, record.Document);
        }
    }

    /// <summary>The records of a task in order: each a document, or what is wrong with it.</summary>
    private IEnumerable<ReadRecord> Records(BuildPlan plan, int task, IDocumentReader reader, Action<TaskProgress> progress, CancellationToken cancellation)
    {
        long before = 0, count = 0;
        foreach (PlannedPiece piece in plan.Tasks[task].Pieces)
        {
            DatasetSource file = plan.Sources[piece.Source];
            using var source = new SourceReader(store, file, piece, plan.Settings.TextUnit, workFolder, cancellation);
            foreach (SourceRecord record in source.Read())
            {
                yield return Extract(record, new RecordPlace(file.Key, source.Unit, record.Number), reader);
                if (++count % RecordsPerReport != 0)
                    continue;
                cancellation.ThrowIfCancellationRequested();
                progress(new TaskProgress(before + source.BytesRead, count, 0));
            }

            before += piece.Length;
        }
    }

    private static ReadRecord Extract(SourceRecord record, RecordPlace place, IDocumentReader reader)
    {
        if (record.Fault is not null)
            return new ReadRecord(place, null, record.Fault);
        try
        {
            if (record.IsText)
                return new ReadRecord(place, reader.ExtractText(record.Utf8), null);
            if (reader.ExtractUsual(record.Utf8) is { } usual)
                return new ReadRecord(place, usual, null);
            using JsonDocument json = JsonDocument.Parse(record.Utf8);
            JsonElement root = json.RootElement;
            return root.ValueKind == JsonValueKind.Object ? new ReadRecord(place, reader.Extract(root), null) : throw JsonFields.WrongType(place.Unit, "an object", root);
        }
        catch (JsonException e)
        {
            return new ReadRecord(place, null, new RejectedException(RejectReasons.MalformedJson, e.Message));
        }
        catch (RejectedException e)
        {
            return new ReadRecord(place, null, e);
        }
    }
}

/// <summary>A record that was read.</summary>
/// <param name="Place">Where it is from.</param>
/// <param name="Document">What it says, or null.</param>
/// <param name="Fault">Why it says nothing.</param>
internal readonly record struct ReadRecord(RecordPlace Place, RawDocument? Document, RejectedException? Fault);
