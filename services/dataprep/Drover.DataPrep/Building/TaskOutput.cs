using System.Buffers;
using System.Text.Json;
using Drover.DataPrep.Lines;
using Drover.DataPrep.Packing;
using Drover.Formats.Datasets;

namespace Drover.DataPrep.Building;

/// <summary>What a task collects from its lines: documents, rejects, counts.</summary>
internal sealed class TaskOutput(string source, bool isArray)
{
    private readonly List<TokenizedDocument> _documents = [];
    private readonly ArrayBufferWriter<byte> _rejects = new();
    private readonly SortedDictionary<string, long> _reasons = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, long> _categories = new(StringComparer.Ordinal);
    private long _tokensIn;
    private long _tokensRejected;
    private long _tokensInRows;
    private long _labelTokens;
    private long _lines;
    private long _linesRejected;

    /// <summary>The rejects file, JSON lines; empty when nothing was rejected.</summary>
    public ReadOnlyMemory<byte> Rejects => _rejects.WrittenMemory;

    public void Add(long line, LineOutcome outcome)
    {
        _lines++;
        _tokensIn += outcome.TokensIn;
        if (outcome.Document is null)
            _linesRejected++;
        else
            _documents.Add(outcome.Document);
        if (outcome.Reject is not null)
            WriteReject(line, outcome.Reject, outcome.Message ?? "", outcome.TokensIn - (outcome.Document?.Ids.Length ?? 0));
    }

    public void Reject(long line, string reason, string message)
    {
        _lines++;
        _linesRejected++;
        WriteReject(line, reason, message, 0);
    }

    /// <summary>Packs the documents and writes the rows.</summary>
    public void WriteRows(ArrowRowWriter writer, int maxLength, CancellationToken cancellation)
    {
        foreach (List<Fragment> fragments in BestFitPacker.Pack([.. _documents.Select(d => d.Ids.Length)], maxLength))
        {
            cancellation.ThrowIfCancellationRequested();
            PackedRow row = Row(fragments);
            _tokensInRows += row.InputIds.Length;
            _labelTokens += row.Labels.Count(l => l != PackedRow.Ignored);
            writer.Write(row);
        }
    }

    public CompletionRecord Record(BuildPlan plan, int task, DatasetShard shard) => new()
    {
        SpecHash = plan.SpecHash,
        Task = task,
        Shard = shard,
        Documents = _documents.Count,
        TokensIn = _tokensIn,
        TokensInRows = _tokensInRows,
        TokensRejected = _tokensRejected,
        LabelTokens = _labelTokens,
        LinesIn = _lines,
        LinesRejected = _linesRejected,
        TextBytes = _documents.Sum(d => d.TextBytes),
        TokensByCategory = _categories,
        Rejects = _reasons,
    };

    private PackedRow Row(List<Fragment> fragments)
    {
        int length = fragments.Sum(f => f.Length);
        int[] ids = new int[length];
        int[] labels = new int[length];
        Array.Fill(labels, PackedRow.Ignored);
        int at = 0;
        foreach (Fragment fragment in fragments)
        {
            TokenizedDocument document = _documents[fragment.Document];
            document.Ids.AsSpan(fragment.Start, fragment.Length).CopyTo(ids.AsSpan(at));
            foreach (LabelRange range in document.Labels)
            {
                // Nothing in the row predicts the first token of a fragment.
                int first = Math.Max(range.Start, fragment.Start + 1);
                int end = Math.Min(range.End, fragment.Start + fragment.Length);
                if (first < end)
                    document.Ids.AsSpan(first..end).CopyTo(labels.AsSpan(at + first - fragment.Start));
            }

            _categories[document.Category] = _categories.GetValueOrDefault(document.Category) + fragment.Length;
            at += fragment.Length;
        }

        return new PackedRow(ids, labels, [.. fragments.Select(f => f.Length)]);
    }

    private void WriteReject(long line, string reason, string message, int tokens)
    {
        _tokensRejected += tokens;
        _reasons[reason] = _reasons.GetValueOrDefault(reason) + 1;
        using (var json = new Utf8JsonWriter(_rejects))
        {
            json.WriteStartObject();
            json.WriteString("source", source);
            json.WriteNumber(isArray ? "element" : "line", line);
            json.WriteString("reason", reason);
            json.WriteString("message", message);
            json.WriteNumber("tokens", tokens);
            json.WriteEndObject();
        }

        _rejects.Write("\n"u8);
    }
}
