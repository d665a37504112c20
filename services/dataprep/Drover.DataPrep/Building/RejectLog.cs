using System.Security.Cryptography;
using System.Text.Json;
using Drover.ObjectStore;

namespace Drover.DataPrep.Building;

/// <summary>The rejects file of a task: a JSON object a line, of everything that is not in rows and why.</summary>
internal sealed class RejectLog(IObjectStore store, BuildPlan plan, int task, string workFolder, CancellationToken cancellation) : IDisposable
{
    private FileStream? _file;
    private Utf8JsonWriter? _json;

    /// <summary>Adds an entry.</summary>
    /// <param name="source">Key of the file.</param>
    /// <param name="unit">What <paramref name="number"/> counts.</param>
    /// <param name="number">From 1.</param>
    /// <param name="reason">One of <see cref="Documents.RejectReasons"/>.</param>
    /// <param name="message">For people.</param>
    /// <param name="tokens">Tokens that are not in rows, where they are known.</param>
    /// <param name="text">The text, or null to leave it out.</param>
    public void Add(string source, string unit, long number, string reason, string message, long tokens, string? text)
    {
        _file ??= WorkFolder.Open(workFolder, "rejects");
        _json ??= new Utf8JsonWriter(_file);
        _json.WriteStartObject();
        _json.WriteString("source", source);
        _json.WriteNumber(unit, number);
        _json.WriteString("reason", reason);
        _json.WriteString("message", message);
        _json.WriteNumber("tokens", tokens);
        if (text is not null)
            _json.WriteString("text", text);
        _json.WriteEndObject();
        _json.Flush();
        _file.WriteByte((byte)'\n');
        _json.Reset();
    }

    /// <summary>Stores the file.</summary>
    /// <returns>Where, or null when there is nothing in it.</returns>
    public WrittenFile? Finish()
    {
        if (_file is null)
            return null;
        _file.Position = 0;
        string digest = Convert.ToHexStringLower(SHA256.HashData(_file));
        var written = new WrittenFile($"rejects/rejects-{plan.FirstTask + task:d5}-{digest[..16]}.jsonl", _file.Length);
        StoredOnce.Put(store, ObjectKey.Join(plan.Dataset, written.File), _file, written.Bytes, cancellation);
        return written;
    }

    public void Dispose()
    {
        _json?.Dispose();
        _file?.Dispose();
    }
}
