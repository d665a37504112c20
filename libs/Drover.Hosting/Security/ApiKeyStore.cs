using System.Collections.Concurrent;
using System.Text.Json;
using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Hosting.Security;

/// <summary>
/// Keys in the object store, under "access/keys/": every service and every gateway sees the same ones. What was read is kept for a few
/// seconds, which is how long a revoked key may still be taken by a service other than the one that revoked it.
/// </summary>
public sealed class ApiKeyStore(IObjectStore store, TimeProvider time)
{
    private const string Prefix = "access/keys/";
    private static readonly TimeSpan Kept = TimeSpan.FromSeconds(5);
    private readonly ConcurrentDictionary<string, (ApiKey Key, long At)> _kept = new(StringComparer.Ordinal);

    /// <summary>Whether the key of this id need not be fetched.</summary>
    public bool IsKept(string id) => _kept.TryGetValue(id, out (ApiKey Key, long At) found) && time.GetElapsedTime(found.At) < Kept;

    /// <summary>The key of an id, or null.</summary>
    public async ValueTask<ApiKey?> FindAsync(string id, CancellationToken cancellation)
    {
        if (_kept.TryGetValue(id, out (ApiKey Key, long At) kept) && time.GetElapsedTime(kept.At) < Kept)
            return kept.Key;
        try
        {
            Stream content = await store.OpenReadAsync(KeyOf(id), 0, null, cancellation).ConfigureAwait(false);
            await using (content.ConfigureAwait(false))
            {
                ApiKey key = await JsonSerializer.DeserializeAsync(content, ApiKeyJson.Default.ApiKey, cancellation).ConfigureAwait(false)
                    ?? throw new JsonException("null");
                _kept[id] = (key, time.GetTimestamp());
                return key;
            }
        }
        catch (DroverException e) when (e.Code == FailureCode.NotFound)
        {
            _kept.TryRemove(id, out _);
            return null;
        }
        catch (JsonException e)
        {
            throw new DroverException(FailureCode.DataLoss, "INVALID_KEY_RECORD", $"'{KeyOf(id)}' is no record of a key; remove it.", e);
        }
    }

    /// <summary>Stores a new key.</summary>
    /// <exception cref="DroverException">AlreadyExists.</exception>
    public ValueTask<ObjectInfo> AddAsync(ApiKey key, CancellationToken cancellation) => PutAsync(key, PutCondition.IfAbsent, cancellation);

    /// <summary>Marks a key so that nobody takes it any more.</summary>
    /// <exception cref="DroverException">NotFound.</exception>
    public async Task<ApiKey> RevokeAsync(string id, CancellationToken cancellation)
    {
        ApiKey key = await FindAsync(id, cancellation).ConfigureAwait(false)
            ?? throw new DroverException(FailureCode.NotFound, "KEY_NOT_FOUND", $"There is no key '{id}'.");
        ApiKey revoked = key with { RevokeTime = key.RevokeTime ?? time.GetUtcNow() };
        await PutAsync(revoked, PutCondition.None, cancellation).ConfigureAwait(false);
        return revoked;
    }

    /// <summary>All keys, oldest first.</summary>
    public async Task<IReadOnlyList<ApiKey>> ListAsync(CancellationToken cancellation)
    {
        var keys = new List<ApiKey>();
        await foreach (ObjectInfo info in store.ListAsync(Prefix, cancellation).ConfigureAwait(false))
        {
            if (await FindAsync(Path.GetFileNameWithoutExtension(info.Key), cancellation).ConfigureAwait(false) is { } key)
                keys.Add(key);
        }

        return [.. keys.OrderBy(k => k.CreateTime)];
    }

    private async ValueTask<ObjectInfo> PutAsync(ApiKey key, PutCondition condition, CancellationToken cancellation)
    {
        using var content = new MemoryStream(JsonSerializer.SerializeToUtf8Bytes(key, ApiKeyJson.Default.ApiKey));
        ObjectInfo stored = await store.PutAsync(KeyOf(key.Id), content, condition, cancellation).ConfigureAwait(false);
        _kept[key.Id] = (key, time.GetTimestamp());
        return stored;
    }

    private static string KeyOf(string id) => ObjectKey.Check($"{Prefix}{id}.json");
}
