using System.Text;
using System.Text.Json;

namespace Drover.Formats.Datasets;

/// <summary>
/// The two small files that make a folder of Arrow streams what <c>datasets.load_from_disk</c> reads. Field names and
/// required keys after Hugging Face datasets' arrow_dataset.py; features are written as "Sequence", which every version reads.
/// </summary>
public static class HuggingFaceDatasetFiles
{
    /// <summary>Name of the file that lists the shards.</summary>
    public const string StateFile = "state.json";

    /// <summary>Name of the file that describes the columns.</summary>
    public const string InfoFile = "dataset_info.json";

    /// <summary>
    /// The name of a shard: "data-00000-000-1f2e3d4c5b6a7988.arrow", of its task, its number there and its digest.
    /// <c>load_from_disk</c> takes any names that state.json lists; the digest makes a name never stand for other bytes.
    /// </summary>
    public static string ShardName(int task, int part, string digest) => $"data-{task:d5}-{part:d3}-{digest[..16]}.arrow";

    /// <summary>The text of state.json.</summary>
    /// <param name="shards">File names in order.</param>
    /// <param name="fingerprint">Any text that changes with the content.</param>
    public static string State(IEnumerable<string> shards, string fingerprint) => Write(json =>
    {
        json.WriteStartArray("_data_files");
        foreach (string shard in shards)
        {
            json.WriteStartObject();
            json.WriteString("filename", shard);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteString("_fingerprint", fingerprint);
        json.WriteNull("_format_columns");
        json.WriteStartObject("_format_kwargs");
        json.WriteEndObject();
        json.WriteNull("_format_type");
        json.WriteBoolean("_output_all_columns", false);
        json.WriteString("_split", "train");
    });

    /// <summary>The text of dataset_info.json.</summary>
    public static string Info() => Write(json =>
    {
        json.WriteString("citation", "");
        json.WriteString("description", "");
        json.WriteStartObject("features");
        foreach (Apache.Arrow.Field field in ArrowRowWriter.Schema.FieldsList)
        {
            json.WriteStartObject(field.Name);
            json.WriteStartObject("feature");
            json.WriteString("dtype", "int32");
            json.WriteString("_type", "Value");
            json.WriteEndObject();
            json.WriteString("_type", "Sequence");
            json.WriteEndObject();
        }

        json.WriteEndObject();
        json.WriteString("homepage", "");
        json.WriteString("license", "");
    });

    private static string Write(Action<Utf8JsonWriter> body)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            body(json);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.ToArray()) + "\n";
    }
}
