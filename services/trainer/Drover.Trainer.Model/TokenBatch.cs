using Drover.Formats.Datasets;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// A micro-batch as the blocks see it: the tokens of all rows one after the other, without padding, and the lengths of the
/// documents they belong to. Attention stays inside a document and positions start again with each.
/// </summary>
public sealed class TokenBatch : IDisposable
{
    private readonly Sources _sources;

    private TokenBatch(Sources sources, IReadOnlyList<long> lengths, Device? device)
    {
        _sources = sources;
        (long[] ids, long[] positions, int[] documents, long[] labelled, long[] targets) = sources;
        LengthOfDocument = documents;
        Ids = tensor(ids, device: device).DetachFromDisposeScope();
        Positions = tensor(positions, device: device).DetachFromDisposeScope();
        Labelled = tensor(labelled, device: device).DetachFromDisposeScope();
        Targets = tensor(targets, device: device).DetachFromDisposeScope();
        DocumentLengths = lengths;
        TokenCount = ids.Length;
        LabelCount = targets.Length;
    }

    /// <summary>Token ids, [tokens], int64.</summary>
    public Tensor Ids { get; }

    /// <summary>Position of each token in its document, [tokens], int64.</summary>
    public Tensor Positions { get; }

    /// <summary>For each token, how long its document is.</summary>
    public IReadOnlyList<int> LengthOfDocument { get; }

    /// <summary>Index of each token whose next token carries loss, [labels], int64.</summary>
    public Tensor Labelled { get; }

    /// <summary>That next token's id, [labels], int64.</summary>
    public Tensor Targets { get; }

    /// <summary>Lengths of the documents, in order; their sum is <see cref="TokenCount"/>, but in a stretch.</summary>
    public IReadOnlyList<long> DocumentLengths { get; }

    /// <summary>Tokens.</summary>
    public int TokenCount { get; }

    /// <summary>Labels.</summary>
    public int LabelCount { get; }

    /// <summary>Puts rows together.</summary>
    /// <param name="rows">The rows.</param>
    /// <param name="multiple">Tokens are made a multiple of it by a last document without labels, which changes nothing.</param>
    /// <param name="device">Where the tensors are to lie; null for the CPU.</param>
    public static TokenBatch From(IReadOnlyList<PackedRow> rows, int multiple = 1, Device? device = null)
    {
        int tokens = rows.Sum(r => r.InputIds.Length), padded = (tokens + multiple - 1) / multiple * multiple;
        long[] ids = new long[padded], positions = new long[padded];
        int[] documents = new int[padded];
        var lengths = new List<long>();
        List<long> labelled = [], targets = [];
        int at = 0;
        foreach (PackedRow row in rows)
        {
            int start = 0;
            foreach (int length in row.DocumentLengths)
            {
                for (int i = 0; i < length; i++, at++)
                {
                    ids[at] = row.InputIds[start + i];
                    positions[at] = i;
                    // The label of a document's first token is never used: nothing in its document predicts it.
                    if (i + 1 < length && row.Labels[start + i + 1] != PackedRow.Ignored)
                    {
                        labelled.Add(at);
                        targets.Add(row.Labels[start + i + 1]);
                    }
                }

                Array.Fill(documents, length, at - length, length);
                start += length;
                lengths.Add(length);
            }
        }

        if (padded > tokens)
        {
            lengths.Add(padded - tokens);
            Array.Fill(documents, padded - tokens, tokens, padded - tokens);
        }

        return new TokenBatch(new Sources(ids, positions, documents, [.. labelled], [.. targets]), lengths, device);
    }

    /// <summary>Some of the tokens, with their labels (whose targets may be the next stretch's); the documents are those of all.</summary>
    public TokenBatch Stretch(int start, int count)
    {
        (long[] ids, long[] positions, int[] documents, long[] labelled, long[] targets) = _sources;
        int[] mine = [.. Enumerable.Range(0, labelled.Length).Where(i => labelled[i] >= start && labelled[i] < start + count)];
        Range taken = start..(start + count);
        return new TokenBatch(new Sources(ids[taken], positions[taken], documents[taken], [.. mine.Select(i => labelled[i] - start)], [.. mine.Select(i => targets[i])]), DocumentLengths, Ids.device);
    }

    /// <summary>Documents without labels.</summary>
    public static TokenBatch FromDocuments(IEnumerable<IReadOnlyList<int>> documents, Device? device = null) =>
        From([.. documents.Select(d => new PackedRow([.. d], [.. d.Select(_ => PackedRow.Ignored)], [d.Count]))], device: device);

    /// <summary>One token of each of several documents, of which the tokens before are known.</summary>
    /// <param name="ids">The tokens.</param>
    /// <param name="positions">Of each in its document, which is as long as that takes.</param>
    /// <param name="device">Where the tensors are to lie; null for the CPU.</param>
    public static TokenBatch Following(IReadOnlyList<int> ids, IReadOnlyList<int> positions, Device? device = null) =>
        new(new Sources([.. ids], [.. positions], [.. positions.Select(p => p + 1)], [], []), [.. ids.Select(_ => 1L)], device);

    /// <summary>Labels that a row contributes to the loss.</summary>
    public static int CountLabels(PackedRow row)
    {
        int labels = 0, start = 0;
        foreach (int length in row.DocumentLengths)
        {
            for (int i = 1; i < length; i++)
                labels += row.Labels[start + i] == PackedRow.Ignored ? 0 : 1;
            start += length;
        }

        return labels;
    }

    /// <inheritdoc />
    public void Dispose()
    {
        Ids.Dispose();
        Positions.Dispose();
        Labelled.Dispose();
        Targets.Dispose();
    }

    private sealed record Sources(long[] Ids, long[] Positions, int[] LengthOfDocument, long[] Labelled, long[] Targets);
}
