namespace Drover.Trainer.Collectives;

/// <summary>An operation of plain messages: all are started at once and done when all have arrived.</summary>
/// <param name="requests">Where the messages are started.</param>
/// <param name="begin">Starts them.</param>
/// <param name="finish">Done on the communication thread after the last has arrived.</param>
internal sealed class MpiExchange(MpiRequests requests, Action<MpiRequests> begin, Action? finish = null) : MpiOperation
{
    public override void Begin() => begin(requests);

    public override bool Move(ref bool moved)
    {
        if (!requests.Test())
            return false;
        requests.Dispose();
        finish?.Invoke();
        return true;
    }
}
