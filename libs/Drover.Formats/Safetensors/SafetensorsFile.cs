using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Formats.Safetensors;

/// <summary>A safetensors object opened for ranged reads: nothing but the header is held in memory.</summary>
public sealed class SafetensorsFile
{
    private readonly IObjectStore _store;

    private SafetensorsFile(IObjectStore store, string key, SafetensorsHeader header)
    {
        _store = store;
        Key = key;
        Header = header;
    }

    /// <summary>Object-store key.</summary>
    public string Key { get; }

    /// <summary>The checked header.</summary>
    public SafetensorsHeader Header { get; }

    /// <summary>Reads and checks the header.</summary>
    /// <exception cref="DroverException">NotFound; DataLoss when the file is not sound.</exception>
    public static async ValueTask<SafetensorsFile> OpenAsync(IObjectStore store, string key, CancellationToken cancellation)
    {
        ObjectInfo info = await store.GetInfoAsync(key, cancellation).ConfigureAwait(false);
        if (info.Size < 8)
            throw SafetensorsHeader.Corrupt(key, $"it has only {info.Size} bytes");
        byte[] first = new byte[8];
        await store.ReadRangeAsync(key, 0, first, cancellation).ConfigureAwait(false);
        byte[] json = new byte[SafetensorsHeader.ParseLength(first, info.Size, key)];
        await store.ReadRangeAsync(key, 8, json, cancellation).ConfigureAwait(false);
        return new SafetensorsFile(store, key, SafetensorsHeader.Parse(json, info.Size, key));
    }

    /// <summary>A tensor that must be there.</summary>
    public SafetensorsEntry Get(string name) =>
        Header.Tensors.TryGetValue(name, out SafetensorsEntry? entry)
            ? entry
            : throw new DroverException(FailureCode.NotFound, "TENSOR_NOT_FOUND", $"'{Key}' holds no tensor '{name}'.");

    /// <summary>Fills <paramref name="target"/> with a tensor's bytes from <paramref name="offset"/> on.</summary>
    public ValueTask ReadAsync(string name, long offset, Memory<byte> target, CancellationToken cancellation)
    {
        SafetensorsEntry entry = Get(name);
        if (offset < 0 || offset + target.Length > entry.Length)
            throw new DroverException(FailureCode.OutOfRange, "RANGE_PAST_END", $"Tensor '{name}' of '{Key}' has {entry.Length} bytes; {offset} to {offset + target.Length} were asked for.");
        return _store.ReadRangeAsync(Key, Header.DataStart + entry.Offset + offset, target, cancellation);
    }

    /// <summary>A tensor's bytes as a stream.</summary>
    public ValueTask<Stream> OpenTensorAsync(string name, CancellationToken cancellation)
    {
        SafetensorsEntry entry = Get(name);
        return _store.OpenReadAsync(Key, Header.DataStart + entry.Offset, entry.Length, cancellation);
    }
}
