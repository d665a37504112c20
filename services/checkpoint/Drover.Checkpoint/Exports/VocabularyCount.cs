using System.Text.Json;
using Drover.Errors;
using Google.Protobuf;

namespace Drover.Checkpoint.Exports;

/// <summary>How many ids a tokenizer file makes, without loading a tokenizer.</summary>
internal static class VocabularyCount
{
    // LLaMA-3's code adds this many special tokens after the ranks of its file.
    private const int LlamaThreeSpecials = 256;
    private const uint PiecesTag = (1 << 3) | (uint)WireFormat.WireType.LengthDelimited;

    /// <summary>The highest id that a file of a tokenizer's folder names, plus one; 0 for one that names none.</summary>
    /// <exception cref="DroverException">DataLoss when it is not what its name says.</exception>
    public static long OfFile(string name, byte[] bytes, string key)
    {
        try
        {
            return name switch
            {
                "tokenizer.json" or "tokenizer.model" => Of(bytes, key),
                "added_tokens.json" => CountAdded(bytes),
                "tokenizer_config.json" => CountDecoder(bytes),
                _ => 0,
            };
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw new DroverException(FailureCode.DataLoss, "CORRUPT_TOKENIZER", $"'{key}' is not a file of a tokenizer: {e.Message}", e);
        }
    }

    /// <summary>The highest id plus one.</summary>
    /// <param name="bytes">tokenizer.json, a SentencePiece model, or lines of tiktoken ranks.</param>
    /// <param name="file">For messages.</param>
    /// <exception cref="DroverException">DataLoss when it is none of these.</exception>
    public static long Of(byte[] bytes, string file)
    {
        try
        {
            int first = Array.FindIndex(bytes, b => b > ' ');
            if (first >= 0 && bytes[first] == '{')
                return CountJson(bytes);
            return bytes.Length > 0 && bytes[0] == PiecesTag ? CountPieces(bytes) : CountRanks(bytes);
        }
        catch (Exception e) when (e is JsonException or InvalidProtocolBufferException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw new DroverException(FailureCode.DataLoss, "CORRUPT_TOKENIZER", $"'{file}' is not a tokenizer: {e.Message}", e);
        }
    }

    private static long CountJson(byte[] bytes)
    {
        using var document = JsonDocument.Parse(bytes);
        long last = -1;
        foreach (JsonProperty piece in document.RootElement.GetProperty("model").GetProperty("vocab").EnumerateObject())
            last = Math.Max(last, piece.Value.GetInt64());
        if (document.RootElement.TryGetProperty("added_tokens", out JsonElement added))
        {
            foreach (JsonElement token in added.EnumerateArray())
                last = Math.Max(last, token.GetProperty("id").GetInt64());
        }

        return last + 1;
    }

    /// <summary>{"token": id}: ids that slow tokenizers have after their pieces.</summary>
    private static long CountAdded(byte[] bytes)
    {
        using var document = JsonDocument.Parse(bytes);
        return 1 + document.RootElement.EnumerateObject().Select(p => p.Value.GetInt64()).DefaultIfEmpty(-1).Max();
    }

    /// <summary>"added_tokens_decoder": {"id": {...}}.</summary>
    private static long CountDecoder(byte[] bytes)
    {
        using var document = JsonDocument.Parse(bytes);
        if (!document.RootElement.TryGetProperty("added_tokens_decoder", out JsonElement decoder))
            return 0;
        return 1 + decoder.EnumerateObject().Select(p => long.Parse(p.Name, System.Globalization.CultureInfo.InvariantCulture)).DefaultIfEmpty(-1).Max();
    }

    /// <summary>ModelProto: field 1 is a piece, repeated (sentencepiece_model.proto).</summary>
    private static long CountPieces(byte[] bytes)
    {
        using var input = new CodedInputStream(bytes);
        long pieces = 0;
        for (uint tag = input.ReadTag(); tag != 0; tag = input.ReadTag())
        {
            pieces += tag == PiecesTag ? 1 : 0;
            input.SkipLastField();
        }

        return pieces;
    }

    private static long CountRanks(byte[] bytes)
    {
        string[] lines = System.Text.Encoding.ASCII.GetString(bytes).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (lines.Length == 0 || !lines.All(l => l.Split(' ') is [_, var rank] && long.TryParse(rank, out _)))
            throw new FormatException("it is neither JSON, nor a SentencePiece model, nor lines of ranks");
        return lines.Length + LlamaThreeSpecials;
    }
}
