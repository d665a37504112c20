using System.Text;
using System.Text.Json;

namespace Drover.Benchmarks.Tokenizers;

/// <summary>Documents of texts: parts between blank lines, or the string fields of each JSONL line; as peers' scripts cut them.</summary>
internal static class Documents
{
    public static byte[][] Read(IEnumerable<string> paths)
    {
        var documents = new List<string>();
        foreach (string path in paths)
        {
            if (path.EndsWith(".jsonl", StringComparison.Ordinal))
                documents.AddRange(File.ReadLines(path).Where(l => l.Trim().Length > 0).Select(Fields));
            else
                documents.AddRange(File.ReadAllText(path).Split("\n\n").Where(d => d.Trim().Length > 0));
        }

        return [.. documents.Select(Encoding.UTF8.GetBytes)];
    }

    private static string Fields(string line)
    {
        using var document = JsonDocument.Parse(line);
        return string.Join('\n', document.RootElement.EnumerateObject().Where(p => p.Value.ValueKind == JsonValueKind.String).Select(p => p.Value.GetString()));
    }
}
