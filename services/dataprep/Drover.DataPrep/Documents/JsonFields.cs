using System.Text.Json;

namespace Drover.DataPrep.Documents;

/// <summary>Fields of a record, with rejections that name them. A dot in a name goes into an object.</summary>
internal static class JsonFields
{
    /// <summary>Category of records that name none.</summary>
    public const string NoCategory = "uncategorized";

    /// <summary>The field, unless it is absent or null.</summary>
    public static JsonElement? Find(this JsonElement record, string name)
    {
        JsonElement value = record;
        // A field that has the dot in its own name comes first.
        if (!name.Contains('.', StringComparison.Ordinal) || record.TryGetProperty(name, out _))
            return record.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null ? value : null;
        foreach (string part in name.Split('.'))
        {
            if (value.ValueKind != JsonValueKind.Object || !value.TryGetProperty(part, out value))
                return null;
        }

        return value.ValueKind == JsonValueKind.Null ? null : value;
    }

    public static bool Has(this JsonElement record, string name) => record.Find(name) is not null;

    /// <summary>A string that must be there; it may be empty.</summary>
    public static string RequiredText(this JsonElement record, string name) =>
        OptionalText(record, name) ?? throw new RejectedException(RejectReasons.MissingField, $"there is no field \"{name}\"");

    /// <summary>A string, or null when the field is absent or null.</summary>
    public static string? OptionalText(this JsonElement record, string name) =>
        record.Find(name) is { } value ? Text(value, name) : null;

    /// <summary>An array, or null when the field is absent or null.</summary>
    public static JsonElement? OptionalArray(this JsonElement record, string name) => record.Find(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Array } array => array,
        { } other => throw WrongType(name, "an array", other),
    };

    /// <summary>A value that must be a string.</summary>
    public static string Text(this JsonElement value, string name)
    {
        if (value.ValueKind != JsonValueKind.String)
            throw WrongType(name, "a string", value);
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            // Half of a surrogate pair, written as an escape: no such text exists.
            throw new RejectedException(RejectReasons.InvalidUtf8, $"\"{name}\" is not Unicode text: {e.Message}");
        }
    }

    /// <summary>The category field, or <see cref="NoCategory"/>.</summary>
    public static string Category(this JsonElement record, string name) =>
        OptionalText(record, name) is { Length: > 0 } category ? category : NoCategory;

    public static RejectedException WrongType(string name, string expected, JsonElement found) =>
        new(RejectReasons.WrongType, $"\"{name}\" must be {expected}, and is {Describe(found.ValueKind)}");

    private static string Describe(JsonValueKind kind) => kind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.True or JsonValueKind.False => "a boolean",
        _ => "null",
    };
}
