namespace Drover.Formats.Safetensors;

/// <summary>The data types of the format and their sizes.</summary>
public static class SafetensorsTypes
{
    /// <summary>32-bit floating point.</summary>
    public const string F32 = "F32";

    /// <summary>bfloat16.</summary>
    public const string BF16 = "BF16";

    /// <summary>IEEE half.</summary>
    public const string F16 = "F16";

    /// <summary>64-bit integer.</summary>
    public const string I64 = "I64";

    /// <summary>Bytes of one element; 0 for a type that is not known.</summary>
    public static int ElementBytes(string type) => type switch
    {
        "F64" or "I64" or "U64" => 8,
        "F32" or "I32" or "U32" => 4,
        "F16" or "BF16" or "I16" or "U16" => 2,
        "BOOL" or "U8" or "I8" or "F8_E4M3" or "F8_E5M2" => 1,
        _ => 0,
    };

    internal static long BytesOf(SafetensorsEntry entry, string name, string file)
    {
        int size = ElementBytes(entry.DataType);
        if (size == 0)
            throw SafetensorsHeader.Corrupt(file, $"tensor '{name}' has the unknown type '{entry.DataType}'");
        try
        {
            return entry.Shape.All(d => d >= 0) ? checked(entry.ElementCount * size) : -1;
        }
        catch (OverflowException)
        {
            throw SafetensorsHeader.Corrupt(file, $"tensor '{name}' has the impossible shape [{string.Join(", ", entry.Shape)}]");
        }
    }
}
