using System.Text.Json;
using Drover.Errors;

namespace Drover.Formats.Checkpoints;

/// <summary>What one rank wrote: small enough to be gathered by rank 0, as the text of <see cref="ToJson"/>.</summary>
/// <param name="Shard">The file.</param>
/// <param name="Slices">What lies in it.</param>
public sealed record WrittenShard(CheckpointShard Shard, IReadOnlyList<WrittenSlice> Slices)
{
    /// <summary>The record as text, to be sent to rank 0.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, CheckpointManifestJson.Default.WrittenShard);

    /// <summary>Reads what <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="DroverException">DataLoss when it is something else.</exception>
    public static WrittenShard FromJson(string json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, CheckpointManifestJson.Default.WrittenShard) ?? throw new JsonException("it is null");
        }
        catch (JsonException e)
        {
            throw new DroverException(FailureCode.DataLoss, "CORRUPT_SHARD_RECORD", $"What a rank told of its checkpoint shard is damaged: {e.Message}", e);
        }
    }
}

/// <summary>A slice that lies in a shard, with what is needed to put the logical tensor together.</summary>
/// <param name="Kind">E.g. <see cref="LogicalTensor.Weight"/>.</param>
/// <param name="Name">Hugging Face name.</param>
/// <param name="GlobalShape">Shape of the whole tensor.</param>
/// <param name="Slice">Where it lies.</param>
public sealed record WrittenSlice(string Kind, string Name, long[] GlobalShape, TensorSlice Slice);
