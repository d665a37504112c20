namespace Drover.Trainer.Collectives;

/// <summary>What an operation does.</summary>
internal enum OperationKind
{
    AllReduce,
    ReduceScatter,
    AllGather,
    AllToAll,
    Broadcast,
    Barrier,
    Split,
    Send,
    Receive,
}

/// <summary>What is reduced; its value is the size in bytes.</summary>
internal enum Element
{
    Byte = 1,
    Float = 4,
    Double = 8,
}

/// <summary>One operation as a rank asked for it: the form in which <see cref="CollectiveGroup"/> hands it to a library.</summary>
/// <param name="Kind">What to do.</param>
/// <param name="Source">Address that is read.</param>
/// <param name="Destination">Address that is written; the source itself where the operation is in place.</param>
/// <param name="Count">Elements: all of them (all-reduce, broadcast, send, receive) or of one rank (reduce-scatter, all-gather).</param>
internal sealed record Operation(OperationKind Kind, nint Source = 0, nint Destination = 0, long Count = 0)
{
    public Element Element { get; init; } = Element.Byte;

    /// <summary>Reduces to the largest, not to the sum.</summary>
    public bool Max { get; init; }

    /// <summary>Root, receiver or sender; the color of a split.</summary>
    public int Peer { get; init; } = -1;

    public int Tag { get; init; }

    public long[] SendBytes { get; init; } = [];

    public long[] ReceiveBytes { get; init; } = [];

    /// <summary>The axis a split makes.</summary>
    public string NewAxis { get; init; } = "";

    /// <summary>Which of the group's operations of its class (of all ranks, or between two) it is, from 1.</summary>
    public long Number { get; set; }

    /// <summary>Whether it is between two ranks and so matched by rank and tag, not by number.</summary>
    public bool IsMessage => Kind is OperationKind.Send or OperationKind.Receive;

    /// <summary>Bytes of <see cref="Count"/> elements.</summary>
    public long Bytes => Count * (int)Element;

    /// <summary>Its name in messages and in the traffic table.</summary>
    public string Name => (Kind, Element, Max) switch
    {
        (OperationKind.AllReduce, Element.Float, false) => "all-reduce",
        (OperationKind.AllReduce, Element.Double, false) => "all-reduce-fp64",
        (OperationKind.AllReduce, Element.Float, true) => "all-reduce-max",
        (OperationKind.AllReduce, _, _) => "all-reduce-max-fp64",
        (OperationKind.ReduceScatter, _, _) => "reduce-scatter",
        (OperationKind.AllGather, _, _) => "all-gather",
        (OperationKind.AllToAll, _, _) => "all-to-all",
        (OperationKind.Broadcast, _, _) => "broadcast",
        (OperationKind.Barrier, _, _) => "barrier",
        (OperationKind.Split, _, _) => "split",
        (OperationKind.Send, _, _) => "send",
        _ => "receive",
    };

    /// <summary>What must be the same on every rank, in words.</summary>
    public string Shape => Kind switch
    {
        OperationKind.AllReduce or OperationKind.ReduceScatter => $"{Name} of {Count} values{(Kind == OperationKind.ReduceScatter ? " a rank" : "")}",
        OperationKind.AllGather => $"{Name} of {Count} bytes a rank",
        OperationKind.Broadcast => $"{Name} of {Count} bytes from rank {Peer}",
        OperationKind.Send => $"{Name} of {Count} bytes to rank {Peer} with tag {Tag}",
        OperationKind.Receive => $"{Name} of {Count} bytes from rank {Peer} with tag {Tag}",
        OperationKind.Split => $"{Name} into '{NewAxis}'",
        _ => Name,
    };

    /// <summary>Which one it is, for a message: <c>all-reduce 'data' no. 417</c>, <c>receive 'pipe' from rank 5 with tag 0</c>.</summary>
    /// <param name="axis">Of the group.</param>
    /// <param name="members">World ranks, by rank in the group.</param>
    public string On(string axis, int[] members) => IsMessage
        ? $"{Name} '{axis}' {(Kind == OperationKind.Send ? "to" : "from")} rank {members[Peer]} with tag {Tag}"
        : $"{Name} '{axis}' no. {Number}";
}
