using System.Runtime.CompilerServices;
using Grpc.Core;

namespace Drover.Gateway.Pipelines.Steps;

/// <summary>Server streams as sequences.</summary>
internal static class ResponseStream
{
    /// <summary>The messages of a call, mapped; the call ends with the enumeration.</summary>
    public static async IAsyncEnumerable<TItem> SelectAsync<TResponse, TItem>(this AsyncServerStreamingCall<TResponse> call, Func<TResponse, TItem> map, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using (call)
        {
            while (await call.ResponseStream.MoveNext(cancellation).ConfigureAwait(false))
                yield return map(call.ResponseStream.Current);
        }
    }
}
