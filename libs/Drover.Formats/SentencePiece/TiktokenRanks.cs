using System.Buffers.Text;
using Drover.Errors;

namespace Drover.Formats.SentencePiece;

/// <summary>
/// The rank file that LLaMA-3 ships under the name <c>tokenizer.model</c>: a line "base64 rank" for each byte string.
/// The special tokens are not in the file; Meta's code adds 256 after the last rank.
/// </summary>
public static class TiktokenRanks
{
    /// <summary>Special tokens that follow the ranks.</summary>
    public const int SpecialTokenCount = 256;

    /// <summary>Whether a file named tokenizer.model looks like ranks and not like SentencePiece.</summary>
    public static bool Looks(ReadOnlySpan<byte> file)
    {
        int end = file.IndexOf((byte)'\n');
        ReadOnlySpan<byte> line = end < 0 ? file : file[..end];
        int space = line.IndexOf((byte)' ');
        return space > 0 && !line.ContainsAnyExceptInRange((byte)' ', (byte)'~') && Base64.IsValid(line[..space]);
    }

    /// <summary>The byte strings in order of rank.</summary>
    /// <exception cref="DroverException">DataLoss naming the line.</exception>
    public static byte[][] Parse(ReadOnlySpan<byte> bytes, string file)
    {
        var tokens = new List<byte[]>();
        int number = 0;
        foreach (Range range in bytes.Split((byte)'\n'))
        {
            ReadOnlySpan<byte> line = bytes[range];
            number++;
            if (line.IsEmpty)
                continue;
            int space = line.IndexOf((byte)' ');
            if (space <= 0 || !Utf8Parser.TryParse(line[(space + 1)..], out int rank, out int used) || used != line.Length - space - 1)
                throw Corrupt(file, number, "is not 'base64 rank'");
            if (rank != tokens.Count)
                throw Corrupt(file, number, $"has rank {rank} where {tokens.Count} is next");
            byte[] token = new byte[Base64.GetMaxDecodedFromUtf8Length(space)];
            if (Base64.DecodeFromUtf8(line[..space], token, out _, out int length) != System.Buffers.OperationStatus.Done || length == 0)
                throw Corrupt(file, number, "does not start with base64");
            tokens.Add(token[..length]);
        }

        if (tokens.Count(t => t.Length == 1) != 256)
            throw Corrupt(file, number, "ends a list in which not every byte has a rank");
        return [.. tokens];
    }

    /// <summary>The special tokens of LLaMA-3, in order of id.</summary>
    public static string[] SpecialTokens()
    {
        string[] named = ["<|begin_of_text|>", "<|end_of_text|>", "", "", "", "", "<|start_header_id|>", "<|end_header_id|>", "", "<|eot_id|>"];
        int reserved = 0;
        return [.. Enumerable.Range(0, SpecialTokenCount).Select(i => i < named.Length && named[i].Length > 0 ? named[i] : $"<|reserved_special_token_{reserved++}|>")];
    }

    private static DroverException Corrupt(string file, int line, string why) =>
        new(FailureCode.DataLoss, "CORRUPT_TOKENIZER_MODEL", $"'{file}' is not a sound rank file: line {line} {why}. Fetch it again.");
}
