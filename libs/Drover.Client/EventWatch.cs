using System.Runtime.CompilerServices;
using Grpc.Core;

namespace Drover.Client;

/// <summary>Follows events that have revisions through broken connections: each event once, and with bounded patience.</summary>
public static class EventWatch
{
    /// <summary>How long a gateway that does not answer is waited for, where nothing else is said.</summary>
    public static readonly TimeSpan DefaultPatience = TimeSpan.FromMinutes(2);

    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(4);

    // Longer than an attempt to connect, or a connection that is dead, can last (the client's timeouts): what stood so long was answered.
    private static readonly TimeSpan Stood = TimeSpan.FromMinutes(1);

    /// <summary>Events until the stream ends. Where the connection breaks it is opened again after the newest revision, with pauses that double up to 4 s.</summary>
    /// <param name="open">Opens the stream of events after a revision.</param>
    /// <param name="revisionOf">The revision of an event.</param>
    /// <param name="fromRevision">Only events after it.</param>
    /// <param name="patience">How long nobody may answer; <see cref="Timeout.InfiniteTimeSpan"/> for ever.</param>
    /// <param name="time">The clock; null for the system's.</param>
    /// <param name="cancellation">Ends the watching.</param>
    /// <exception cref="RpcException">What the gateway answers; or, once patience is at its end, why the connection broke.</exception>
    public static async IAsyncEnumerable<TEvent> FollowAsync<TEvent>(
        Func<long, IAsyncEnumerable<TEvent>> open,
        Func<TEvent, long> revisionOf,
        long fromRevision,
        TimeSpan patience,
        TimeProvider? time = null,
        [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        time ??= TimeProvider.System;
        long revision = fromRevision;
        long? brokenAt = null;
        for (TimeSpan pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            long openedAt = time.GetTimestamp();
            await using IAsyncEnumerator<TEvent> events = open(revision).GetAsyncEnumerator(cancellation);
            while (true)
            {
                bool more;
                try
                {
                    more = await events.MoveNextAsync().ConfigureAwait(false);
                }
                catch (RpcException e) when (IsBroken(e) && !cancellation.IsCancellationRequested)
                {
                    if (time.GetElapsedTime(openedAt) > Stood)
                        (brokenAt, pause) = (null, FirstPause);
                    brokenAt ??= time.GetTimestamp();
                    if (patience != Timeout.InfiniteTimeSpan && time.GetElapsedTime(brokenAt.Value) >= patience)
                        throw;
                    break;
                }

                if (!more)
                    yield break;
                (brokenAt, pause) = (null, FirstPause);
                revision = revisionOf(events.Current);
                yield return events.Current;
            }

            await Task.Delay(pause, time, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Whether a service of Drover said this itself; if not, the connection failed.</summary>
    public static bool IsAnswer(this RpcException e) => e.Trailers.Any(entry => entry.Key == "grpc-status-details-bin");

    // A service that is away is told of by the gateway: it may come back as well as the gateway may.
    private static bool IsBroken(RpcException e) => e.StatusCode != StatusCode.NotFound && (!e.IsAnswer() || e.StatusCode == StatusCode.Unavailable);
}
