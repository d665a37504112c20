using System.Text.Json;
using Drover.Errors;

namespace Drover.Tokenization.Expansion;

/// <summary>A list of pieces: a line holds a JSON object with "piece", or the piece itself.</summary>
public static class PieceList
{
    /// <summary>Reads the pieces; empty lines are left out.</summary>
    /// <exception cref="DroverException">InvalidArgument naming file and line.</exception>
    public static List<string> Parse(string text, string file)
    {
        var pieces = new List<string>();
        int number = 0;
        foreach (ReadOnlySpan<char> raw in text.TrimStart('\uFEFF').AsSpan().EnumerateLines())
        {
            number++;
            // A leading space belongs to the piece.
            ReadOnlySpan<char> line = raw.TrimEnd();
            if (line.IsEmpty)
                continue;
            pieces.Add(line.TrimStart().StartsWith("{\"", StringComparison.Ordinal) ? ParseLine(line.ToString(), file, number) : line.ToString());
        }

        return pieces.Count > 0
            ? pieces
            : throw new DroverException(FailureCode.InvalidArgument, "EMPTY_PIECE_LIST", $"The piece list '{file}' holds no piece.");
    }

    private static string ParseLine(string line, string file, int number)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            if (document.RootElement.TryGetProperty("piece", out JsonElement piece) && piece.GetString() is { } text)
                return text;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw Malformed(file, number, e);
        }

        throw Malformed(file, number, null);
    }

    private static DroverException Malformed(string file, int number, Exception? inner) =>
        new(FailureCode.InvalidArgument, "MALFORMED_PIECE_LIST", $"Line {number} of the piece list '{file}' starts like JSON and is not {{\"piece\": \"...\"}}.", inner);
}
