using System.Collections;
using System.Globalization;
using System.Text.Json;
using Parquet;
using Parquet.Serialization;

namespace Drover.DataPrep.Sources;

/// <summary>
/// Rows of a Parquet file as JSON objects, nested columns as nested values. The file is copied to the work folder, because Parquet is
/// read from its end; a row group at a time is in memory.
/// </summary>
internal static class ParquetRecords
{
    /// <summary>All rows.</summary>
    /// <param name="input">The whole file.</param>
    /// <param name="workFolder">Where it is copied to.</param>
    public static IEnumerable<SourceRecord> Read(Stream input, string workFolder)
    {
        Directory.CreateDirectory(workFolder);
        using var file = new FileStream(Path.Combine(workFolder, $"parquet-{Guid.NewGuid():N}"), FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose);
        input.CopyTo(file);
        int groups = Damage(() => CountGroups(file));
        long number = 0;
        for (int group = 0; group < groups; group++)
        {
            int index = group;
            foreach (IDictionary<string, object> row in Damage(() => ReadGroup(file, index)))
                yield return new SourceRecord(++number, Json(row), false, null);
        }
    }

    private static int CountGroups(FileStream file)
    {
        file.Position = 0;
        ParquetReader reader = ParquetReader.CreateAsync(file, leaveStreamOpen: true).GetAwaiter().GetResult();
        int groups = reader.RowGroupCount;
        reader.DisposeAsync().AsTask().GetAwaiter().GetResult();
        return groups;
    }

    private static List<IDictionary<string, object>> ReadGroup(FileStream file, int group)
    {
        file.Position = 0;
        return [.. ParquetSerializer.DeserializeUntypedAsync(file, null, group).GetAwaiter().GetResult().Data];
    }

    // The library answers damaged bytes with whatever its parsing trips over.
    private static T Damage<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is not (OperationCanceledException or Errors.DroverException or InvalidDataException))
        {
            throw new InvalidDataException($"it cannot be read as Parquet ({e.Message})", e);
        }
    }

    private static byte[] Json(IDictionary<string, object> row)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
            Write(json, row);
        return buffer.ToArray();
    }

    private static void Write(Utf8JsonWriter json, object? value)
    {
        switch (value)
        {
            case null:
                json.WriteNullValue();
                break;
            case string text:
                json.WriteStringValue(text);
                break;
            case bool flag:
                json.WriteBooleanValue(flag);
                break;
            case IDictionary<string, object> fields:
                json.WriteStartObject();
                foreach ((string name, object field) in fields)
                {
                    json.WritePropertyName(name);
                    Write(json, field);
                }

                json.WriteEndObject();
                break;
            case byte[] bytes:
                json.WriteStringValue(System.Text.Encoding.UTF8.GetString(bytes));
                break;
            case IEnumerable list:
                json.WriteStartArray();
                foreach (object? item in list)
                    Write(json, item);
                json.WriteEndArray();
                break;
            case sbyte or byte or short or ushort or int or uint or long:
                json.WriteNumberValue(Convert.ToInt64(value, CultureInfo.InvariantCulture));
                break;
            case float or double when double.IsFinite(Convert.ToDouble(value, CultureInfo.InvariantCulture)):
                json.WriteNumberValue(Convert.ToDouble(value, CultureInfo.InvariantCulture));
                break;
            default:
                json.WriteStringValue(Convert.ToString(value, CultureInfo.InvariantCulture));
                break;
        }
    }
}
