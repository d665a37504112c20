using System.Text.Json;
using Drover.Errors;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;

namespace Drover.Formats.HuggingFace;

/// <summary>A Hugging Face model folder in the object store: config and where each tensor lies, one shard or many.</summary>
public sealed class HuggingFaceModel
{
    /// <summary>The single shard.</summary>
    public const string SingleShard = "model.safetensors";

    /// <summary>The index of many shards.</summary>
    public const string IndexFile = "model.safetensors.index.json";

    private readonly Dictionary<string, SafetensorsFile> _fileOfTensor;

    private HuggingFaceModel(string prefix, LlamaConfig config, Dictionary<string, SafetensorsFile> fileOfTensor)
    {
        Prefix = prefix;
        Config = config;
        _fileOfTensor = fileOfTensor;
    }

    /// <summary>The folder.</summary>
    public string Prefix { get; }

    /// <summary>Its config.json.</summary>
    public LlamaConfig Config { get; }

    /// <summary>All tensor names, in ordinal order.</summary>
    public IEnumerable<string> TensorNames => _fileOfTensor.Keys.Order(StringComparer.Ordinal);

    /// <summary>Opens a folder: reads config, index and the headers of all shards.</summary>
    /// <exception cref="DroverException">NotFound, InvalidArgument or DataLoss, naming the file.</exception>
    public static async Task<HuggingFaceModel> OpenAsync(IObjectStore store, string prefix, CancellationToken cancellation)
    {
        string configKey = ObjectKey.Join(prefix, LlamaConfig.FileName);
        if (await store.FindAsync(configKey, cancellation).ConfigureAwait(false) is null)
            throw new DroverException(FailureCode.NotFound, "MODEL_NOT_FOUND", $"There is no model at '{prefix}': it has no config.json.");
        LlamaConfig config = LlamaConfig.Parse(await store.ReadTextAsync(configKey, cancellation).ConfigureAwait(false), configKey);

        var tensors = new Dictionary<string, SafetensorsFile>(StringComparer.Ordinal);
        string indexKey = ObjectKey.Join(prefix, IndexFile);
        if (await store.FindAsync(indexKey, cancellation).ConfigureAwait(false) is not null)
        {
            Dictionary<string, string> map = ParseIndex(await store.ReadAllBytesAsync(indexKey, cancellation).ConfigureAwait(false), indexKey);
            foreach (IGrouping<string, KeyValuePair<string, string>> shard in map.GroupBy(m => m.Value).OrderBy(g => g.Key, StringComparer.Ordinal))
            {
                SafetensorsFile file = await SafetensorsFile.OpenAsync(store, ObjectKey.Join(prefix, shard.Key), cancellation).ConfigureAwait(false);
                foreach ((string name, _) in shard)
                {
                    file.Get(name);
                    tensors[name] = file;
                }
            }
        }
        else
        {
            string single = ObjectKey.Join(prefix, SingleShard);
            if (await store.FindAsync(single, cancellation).ConfigureAwait(false) is null)
                throw await NoWeightsAsync(store, prefix, cancellation).ConfigureAwait(false);
            SafetensorsFile file = await SafetensorsFile.OpenAsync(store, single, cancellation).ConfigureAwait(false);
            foreach (string name in file.Header.Tensors.Keys)
                tensors[name] = file;
        }

        return new HuggingFaceModel(prefix, config, tensors);
    }

    /// <summary>Whether there is a tensor of this name.</summary>
    public bool Contains(string tensor) => _fileOfTensor.ContainsKey(tensor);

    /// <summary>The file that holds a tensor.</summary>
    /// <exception cref="DroverException">NotFound, naming tensor and folder.</exception>
    public SafetensorsFile FileOf(string tensor) =>
        _fileOfTensor.TryGetValue(tensor, out SafetensorsFile? file)
            ? file
            : throw new DroverException(FailureCode.NotFound, "TENSOR_NOT_FOUND", $"The model '{Prefix}' holds no tensor '{tensor}', which its config.json calls for.");

    /// <summary>Type, shape and place of a tensor.</summary>
    public SafetensorsEntry Get(string tensor) => FileOf(tensor).Get(tensor);

    private static Dictionary<string, string> ParseIndex(byte[] json, string key)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return document.RootElement.GetProperty("weight_map").EnumerateObject()
                .ToDictionary(p => p.Name, p => p.Value.GetString() ?? throw new JsonException("a file name is null"), StringComparer.Ordinal);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or ArgumentException)
        {
            throw new DroverException(FailureCode.DataLoss, "CORRUPT_INDEX", $"'{key}' is not the index of a sharded model: {e.Message}", e);
        }
    }

    private static async Task<DroverException> NoWeightsAsync(IObjectStore store, string prefix, CancellationToken cancellation)
    {
        bool pickled = await store.FindAsync(ObjectKey.Join(prefix, "pytorch_model.bin"), cancellation).ConfigureAwait(false) is not null
            || await store.FindAsync(ObjectKey.Join(prefix, "pytorch_model.bin.index.json"), cancellation).ConfigureAwait(false) is not null;
        return pickled
            ? new DroverException(FailureCode.FailedPrecondition, "PICKLED_WEIGHTS", $"The model '{prefix}' has its weights in .bin files, which can run code when read. Save it as safetensors first.")
            : new DroverException(FailureCode.NotFound, "WEIGHTS_NOT_FOUND", $"The model '{prefix}' has neither {SingleShard} nor {IndexFile}.");
    }
}
