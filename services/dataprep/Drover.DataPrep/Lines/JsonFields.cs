using System.Text.Json;

namespace Drover.DataPrep.Lines;

/// <summary>Fields of a line, with rejections that name them.</summary>
internal static class JsonFields
{
    /// <summary>Category of lines that name none.</summary>
    public const string NoCategory = "uncategorized";

    public static bool Has(this JsonElement line, string name) =>
        line.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null;

    /// <summary>A string that must be there; it may be empty.</summary>
    public static string RequiredText(this JsonElement line, string name) =>
        OptionalText(line, name) ?? throw new LineRejectedException(RejectReasons.MissingField, $"there is no field \"{name}\"");

    /// <summary>A string, or null when the field is absent or null.</summary>
    public static string? OptionalText(this JsonElement line, string name)
    {
        if (!line.Has(name))
            return null;
        JsonElement value = line.GetProperty(name);
        if (value.ValueKind != JsonValueKind.String)
            throw WrongType(name, "a string", value);
        try
        {
            return value.GetString();
        }
        catch (InvalidOperationException e)
        {
            // Half of a surrogate pair, written as an escape: no such text exists.
            throw new LineRejectedException(RejectReasons.InvalidUtf8, $"\"{name}\" is not Unicode text: {e.Message}");
        }
    }

    public static string Category(this JsonElement line) =>
        OptionalText(line, "category") is { Length: > 0 } category ? category : NoCategory;

    public static LineRejectedException WrongType(string name, string expected, JsonElement found) =>
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
