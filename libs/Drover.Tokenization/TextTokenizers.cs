using System.Text;

namespace Drover.Tokenization;

/// <summary>What any tokenizer can do.</summary>
public static class TextTokenizers
{
    /// <summary>Ids of many texts, encoded on all cores; the order is that of the texts.</summary>
    public static int[][] EncodeAll(this ITextTokenizer tokenizer, IReadOnlyList<string> texts, CancellationToken cancellation)
    {
        int[][] ids = new int[texts.Count][];
        Parallel.For(
            0,
            texts.Count,
            new ParallelOptions { CancellationToken = cancellation, MaxDegreeOfParallelism = Environment.ProcessorCount },
            () => new TokenBuffer(),
            (i, _, buffer) =>
            {
                buffer.Clear();
                tokenizer.Encode(Encoding.UTF8.GetBytes(texts[i]), buffer);
                ids[i] = buffer.ToArray();
                return buffer;
            },
            _ => { });
        return ids;
    }
}
