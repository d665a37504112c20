using System.Text.Json.Serialization;

namespace Drover.Trainer.Collectives;

/// <summary>What a rank tells the others a few times a second.</summary>
internal sealed record RankBeat(int Rank, string Host, int ProcessId)
{
    /// <summary>The operation it waits in, else the one it started last, in words; empty before the first.</summary>
    public string Last { get; init; } = "";

    /// <summary>Null while it computes.</summary>
    public RankWait? Wait { get; init; }

    /// <summary>Number of the last operation of all that it started, by group.</summary>
    public Dictionary<string, long> Started { get; init; } = [];

    [JsonIgnore]
    public string Name => $"Rank {Rank} ({Host}, process {ProcessId})";

    [JsonIgnore]
    public string LastInWords => Wait is not null ? $"it was last in {Last}" : Last.Length > 0 ? $"it was computing after {Last}" : "it had not started any operation";
}

/// <summary>What a rank waits in.</summary>
/// <param name="Group">Id of the group.</param>
/// <param name="Number">Which operation of the group; -1 for a send or receive.</param>
/// <param name="For">World ranks that take part; the one at the other end.</param>
/// <param name="Seconds">For how long.</param>
internal sealed record RankWait(string Group, long Number, int[] For, double Seconds);

/// <summary>One line between two ranks.</summary>
internal sealed record WatchLine
{
    /// <summary>Of the sender.</summary>
    public RankBeat? Beat { get; init; }

    /// <summary>From rank 0: a rank is lost, in words for the user.</summary>
    public string? Lost { get; init; }

    /// <summary>The sender has done its work and closes the connection.</summary>
    public bool Bye { get; init; }
}

/// <summary>Where rank 0 listens, as it tells the others through MPI.</summary>
/// <param name="Host">Name of its machine.</param>
/// <param name="Addresses">Of its machine.</param>
/// <param name="Port">Where it listens.</param>
/// <param name="Token">Who does not know it is not one of the ranks.</param>
internal sealed record WatchPlace(string Host, string[] Addresses, int Port, string Token);

[JsonSerializable(typeof(WatchLine))]
[JsonSerializable(typeof(WatchPlace))]
internal sealed partial class WatchJson : JsonSerializerContext;
