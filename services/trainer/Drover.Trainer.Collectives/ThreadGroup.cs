using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>A group of <see cref="ThreadRanks"/>: operations under way by number, and messages by sender, receiver and tag.</summary>
/// <param name="world">What it is part of.</param>
/// <param name="axis">Its name.</param>
/// <param name="members">World ranks, by rank in the group.</param>
internal sealed class ThreadGroup(ThreadWorld world, string axis, int[] members)
{
    private readonly Dictionary<long, Meeting> _meetings = [];
    private readonly Dictionary<(int From, int To, int Tag), Mailbox> _mail = [];

    public ThreadWorld World => world;

    public string Axis => axis;

    public int[] Members => members;

    public int Size => members.Length;

    /// <summary>Enters a rank's part of an operation of all.</summary>
    public Meeting Join(int rank, Operation operation)
    {
        lock (world.Gate)
        {
            if (!_meetings.TryGetValue(operation.Number, out Meeting? meeting))
                _meetings[operation.Number] = meeting = new Meeting(this);
            if (meeting.Enter(rank, operation))
                _meetings.Remove(operation.Number);
            Monitor.PulseAll(world.Gate);
            return meeting;
        }
    }

    public unsafe ICollectiveHandle Send(int rank, Operation operation)
    {
        byte[] copy = new ReadOnlySpan<byte>((void*)operation.Source, checked((int)operation.Count)).ToArray();
        lock (world.Gate)
        {
            Mailbox box = Box(rank, operation.Peer, operation.Tag);
            box.Messages[box.Sent++] = copy;
            Monitor.PulseAll(world.Gate);
        }

        return Done.Instance;
    }

    public ICollectiveHandle Receive(int rank, Operation operation)
    {
        lock (world.Gate)
        {
            Mailbox box = Box(operation.Peer, rank, operation.Tag);
            return new Receipt(this, rank, operation, box, box.Received++);
        }
    }

    private Mailbox Box(int from, int to, int tag)
    {
        if (!_mail.TryGetValue((from, to, tag), out Mailbox? box))
            _mail[(from, to, tag)] = box = new Mailbox();
        return box;
    }

    private sealed class Mailbox
    {
        public Dictionary<long, byte[]> Messages { get; } = [];

        public long Sent { get; set; }

        public long Received { get; set; }
    }

    private sealed class Receipt(ThreadGroup group, int rank, Operation operation, Mailbox box, long number) : ICollectiveHandle
    {
        private bool _done;

        public unsafe void Wait()
        {
            if (_done)
                return;
            byte[]? message = null;
            lock (group.World.Gate)
            {
                group.World.WaitUntil(
                    () => box.Messages.Remove(number, out message),
                    () => [group.Members[operation.Peer]],
                    () => $"Rank {group.Members[rank]} waits in {operation.On(group.Axis, group.Members)} for the send");
            }

            if (message!.Length != operation.Count)
            {
                throw new DroverException(FailureCode.Internal, "COLLECTIVE_MISMATCH",
                    $"Rank {group.Members[operation.Peer]} sent {message.Length} bytes where rank {group.Members[rank]} waits in {operation.On(group.Axis, group.Members)}.");
            }

            message.CopyTo(new Span<byte>((void*)operation.Destination, message.Length));
            _done = true;
        }
    }
}
