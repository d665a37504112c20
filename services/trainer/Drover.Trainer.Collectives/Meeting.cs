using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>One operation of all ranks of a <see cref="ThreadGroup"/>.</summary>
internal sealed unsafe class Meeting(ThreadGroup group)
{
    private readonly Operation?[] _parts = new Operation?[group.Size];
    private int _arrived;
    private bool _taken;
    private bool _done;
    private DroverException? _failure;

    /// <summary>What a split made, by color.</summary>
    public Dictionary<int, ThreadGroup>? Groups { get; private set; }

    /// <summary>Enters a rank's part, inside the world's lock; true when all are there.</summary>
    public bool Enter(int rank, Operation part)
    {
        int other = Array.FindIndex(_parts, p => p is not null);
        _parts[rank] = part;
        if (other >= 0 && _parts[other]!.Shape != part.Shape)
            _failure ??= Mismatch(other, rank, part.Number, _parts[other]!.Shape, part.Shape);
        return ++_arrived == group.Size;
    }

    /// <summary>Returns when the operation is done on all ranks.</summary>
    public void Wait(int rank)
    {
        lock (group.World.Gate)
        {
            group.World.WaitUntil(
                () => _done || _failure is not null || (_arrived == group.Size && !_taken),
                () => [.. group.Members.Where((_, r) => _parts[r] is null)],
                () => $"Rank {group.Members[rank]} waits in {_parts[rank]!.On(group.Axis, group.Members)}");
            if (_done)
                return;
            if (_failure is not null)
                throw new DroverException(_failure.Code, _failure.Reason, _failure.Message, _failure);
            _taken = true;
        }

        // Outside the lock: operations of other groups go on meanwhile.
        DroverException? failure = Do([.. _parts.Select(p => p!)]);
        lock (group.World.Gate)
        {
            _failure = failure;
            _done = failure is null;
            Monitor.PulseAll(group.World.Gate);
        }

        if (failure is not null)
            throw failure;
    }

    private DroverException? Do(Operation[] parts)
    {
        Operation first = parts[0];
        switch (first.Kind)
        {
            case OperationKind.AllReduce:
                AllReduce(parts);
                break;
            case OperationKind.ReduceScatter:
                for (int r = 0; r < parts.Length; r++)
                    Sums.Add((float*)parts[r].Destination, [.. parts.Select(p => p.Source + (nint)(r * first.Bytes))], first.Count);
                break;
            case OperationKind.AllGather:
                AllGather(parts);
                break;
            case OperationKind.AllToAll:
                return AllToAll(parts);
            case OperationKind.Broadcast:
                foreach (Operation part in parts)
                    Copy(parts[first.Peer].Source, part.Destination, first.Bytes);
                break;
            case OperationKind.Split:
                // Members stay in the order of their ranks here.
                Groups = parts.Select((p, r) => (p.Peer, Rank: group.Members[r])).GroupBy(p => p.Peer, p => p.Rank)
                    .ToDictionary(g => g.Key, g => new ThreadGroup(group.World, first.NewAxis, [.. g]));
                break;
        }

        return null;
    }

    private static void AllReduce(Operation[] parts)
    {
        Operation first = parts[0];
        if (first is { Element: Element.Float, Max: false })
        {
            Sums.Add((float*)first.Destination, [.. parts.Select(p => p.Source)], first.Count);
        }
        else
        {
            foreach (Operation part in parts[1..])
                Combine(first, part);
        }

        foreach (Operation part in parts[1..])
            Copy(first.Destination, part.Destination, first.Bytes);
    }

    private static void Combine(Operation first, Operation part)
    {
        for (long i = 0; i < first.Count; i++)
        {
            if (first.Element == Element.Float)
                ((float*)first.Destination)[i] = Math.Max(((float*)first.Destination)[i], ((float*)part.Source)[i]);
            else if (first.Max)
                ((double*)first.Destination)[i] = Math.Max(((double*)first.Destination)[i], ((double*)part.Source)[i]);
            else
                ((double*)first.Destination)[i] += ((double*)part.Source)[i];
        }
    }

    private static void AllGather(Operation[] parts)
    {
        foreach (Operation to in parts)
        {
            for (int r = 0; r < parts.Length; r++)
                Copy(parts[r].Source, to.Destination + (nint)(r * to.Bytes), to.Bytes);
        }
    }

    private DroverException? AllToAll(Operation[] parts)
    {
        for (int from = 0; from < parts.Length; from++)
        {
            nint source = parts[from].Source;
            for (int to = 0; to < parts.Length; to++)
            {
                long bytes = parts[from].SendBytes[to];
                if (parts[to].ReceiveBytes[from] != bytes)
                    return Mismatch(from, to, parts[0].Number, $"all-to-all that sends it {bytes} bytes", $"all-to-all that receives {parts[to].ReceiveBytes[from]} bytes from it");
                Copy(source, parts[to].Destination + (nint)parts[to].ReceiveBytes[..from].Sum(), bytes);
                source += (nint)bytes;
            }
        }

        return null;
    }

    private static void Copy(nint source, nint destination, long bytes)
    {
        if (source != destination)
            Buffer.MemoryCopy((void*)source, (void*)destination, bytes, bytes);
    }

    private DroverException Mismatch(int one, int other, long number, string of, string with) => new(FailureCode.Internal, "COLLECTIVE_MISMATCH",
        $"Ranks {group.Members[one]} and {group.Members[other]} do not match at operation no. {number} of axis '{group.Axis}': {of}; {with}.");
}
