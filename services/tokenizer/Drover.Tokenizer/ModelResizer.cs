using System.Text;
using System.Text.Json;
using Drover.Errors;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;
using Drover.Protocol.Tokenizer.V1;

namespace Drover.Tokenizer;

/// <summary>
/// Writes a model again with more embedding rows. Tensors pass through as streams, shard by shard; of the matrices that grow, only blocks of
/// new rows are in memory.
/// </summary>
internal sealed class ModelResizer
{
    private const int MaxPaddingOfBase = 1024;
    private const int CopyBytes = 1 << 20;
    private readonly IObjectStore _store;
    private readonly HuggingFaceModel _model;
    private readonly int _oldVocabulary;

    private ModelResizer(IObjectStore store, HuggingFaceModel model, int oldVocabulary)
    {
        _store = store;
        _model = model;
        _oldVocabulary = oldVocabulary;
    }

    public LlamaConfig Config => _model.Config;

    /// <summary>Parameters that so many rows add: once for a model whose head is its embedding, else twice.</summary>
    public long NewParameters(int rows) =>
        _model.TensorNames.Where(IsVocabularyMatrix).Sum(name => (rows - _model.Get(name).Shape[0]) * _model.Get(name).Shape[1]);

    /// <summary>Opens the model and makes sure that the tokenizer is its own.</summary>
    /// <exception cref="DroverException">FailedPrecondition with both numbers when they do not fit.</exception>
    public static async Task<ModelResizer> OpenAsync(IObjectStore store, string modelPrefix, string tokenizerPrefix, int oldVocabulary, CancellationToken cancellation)
    {
        HuggingFaceModel model = await HuggingFaceModel.OpenAsync(store, modelPrefix, cancellation).ConfigureAwait(false);
        int rows = model.Config.VocabSize;
        if (oldVocabulary > rows || rows - oldVocabulary >= MaxPaddingOfBase)
            throw new DroverException(FailureCode.FailedPrecondition, "VOCABULARY_MISMATCH", $"The tokenizer '{tokenizerPrefix}' has {oldVocabulary} ids and the model '{modelPrefix}' has {rows} embedding rows: they do not belong together. Give the tokenizer that the model was trained with.");
        foreach ((string name, long[] shape) in LlamaTensors.All(model.Config))
        {
            SafetensorsEntry entry = model.Get(name);
            if (!entry.Shape.AsSpan().SequenceEqual(shape))
                throw new DroverException(FailureCode.FailedPrecondition, "SHAPE_MISMATCH", $"Tensor '{name}' of the model '{modelPrefix}' has the shape [{string.Join(", ", entry.Shape)}]; its config.json calls for [{string.Join(", ", shape)}].");
        }

        var resizer = new ModelResizer(store, model, oldVocabulary);
        foreach (string name in model.TensorNames.Where(IsVocabularyMatrix))
            RowCodec.Check(model.Get(name).DataType, name, modelPrefix);
        return resizer;
    }

    /// <summary>Writes all shards and the index under a prefix; not the config.</summary>
    /// <param name="prefix">Where to.</param>
    /// <param name="subPieces">For each new id, the old ids whose rows it starts from.</param>
    /// <param name="rows">Rows of the new matrices; those past the last id are zero.</param>
    /// <param name="init">How new rows are made.</param>
    /// <param name="progress">Told bytes done and in all.</param>
    /// <param name="cancellation">Stops writing.</param>
    public async Task WriteWeightsAsync(string prefix, IReadOnlyList<int[]> subPieces, int rows, EmbeddingInit init, Action<long, long> progress, CancellationToken cancellation)
    {
        (string File, SafetensorsTensor[] Tensors)[] shards = [.. _model.TensorNames
            .GroupBy(_model.FileOf)
            .Select(g => (File: g.Key.Key[(_model.Prefix.Length + 1)..], Tensors: g.OrderBy(n => _model.Get(n).Offset).Select(n => Tensor(n, subPieces, rows, init)).ToArray()))
            .OrderBy(s => s.File, StringComparer.Ordinal)];
        long total = shards.Sum(s => s.Tensors.Sum(t => t.ByteCount));
        long done = 0;
        foreach ((string file, SafetensorsTensor[] tensors) in shards)
        {
            SafetensorsTensor[] counted = [.. tensors.Select(t => t with
            {
                Write = async (stream, stop) =>
                {
                    await t.Write(stream, stop).ConfigureAwait(false);
                    done += t.ByteCount;
                    progress(done, total);
                },
            })];
            await SafetensorsWriter.PutAsync(_store, ObjectKey.Join(prefix, file), counted, null, cancellation).ConfigureAwait(false);
        }

        string indexKey = ObjectKey.Join(prefix, HuggingFaceModel.IndexFile);
        if (shards is [(HuggingFaceModel.SingleShard, _)])
            await _store.DeleteAsync(indexKey, cancellation).ConfigureAwait(false);
        else
            await _store.PutTextAsync(indexKey, Index(shards, total), cancellation).ConfigureAwait(false);
    }

    private static bool IsVocabularyMatrix(string name) => name is LlamaTensors.Embedding or LlamaTensors.Head;

    private static string Index((string File, SafetensorsTensor[] Tensors)[] shards, long total)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteStartObject("metadata");
            json.WriteNumber("total_size", total);
            json.WriteEndObject();
            json.WriteStartObject("weight_map");
            foreach ((string name, string file) in shards.SelectMany(s => s.Tensors.Select(t => (t.Name, s.File))).OrderBy(t => t.Name, StringComparer.Ordinal))
                json.WriteString(name, file);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.ToArray()) + "\n";
    }

    private SafetensorsTensor Tensor(string name, IReadOnlyList<int[]> subPieces, int rows, EmbeddingInit init)
    {
        SafetensorsFile file = _model.FileOf(name);
        SafetensorsEntry entry = file.Get(name);
        if (!IsVocabularyMatrix(name))
        {
            return new SafetensorsTensor(name, entry.DataType, entry.Shape, async (target, stop) =>
            {
                Stream source = await file.OpenTensorAsync(name, stop).ConfigureAwait(false);
                await using (source.ConfigureAwait(false))
                    await source.CopyToAsync(target, CopyBytes, stop).ConfigureAwait(false);
            });
        }

        var matrix = new GrownMatrix(file, name, _oldVocabulary, subPieces, rows, init);
        return new SafetensorsTensor(name, entry.DataType, [rows, entry.Shape[1]], matrix.WriteAsync);
    }
}
