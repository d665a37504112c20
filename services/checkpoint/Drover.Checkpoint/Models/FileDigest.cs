using System.Text.Json.Serialization;

namespace Drover.Checkpoint.Models;

/// <summary>A digest, and the size and tag of the object that it is of.</summary>
internal sealed record FileDigest(long Size, string Tag, string Sha256);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(Dictionary<string, FileDigest>))]
internal sealed partial class FileDigestJson : JsonSerializerContext;
