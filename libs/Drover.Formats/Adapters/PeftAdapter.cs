using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.Formats.Weights;
using Drover.ObjectStore;

namespace Drover.Formats.Adapters;

/// <summary>An adapter in a folder of the object store, as PEFT and the export write it.</summary>
public sealed class PeftAdapter
{
    private readonly SafetensorsFile _file;

    private PeftAdapter(LoraSpec lora, SafetensorsFile file) => (Lora, _file) = (lora, file);

    /// <summary>What it says of itself.</summary>
    public LoraSpec Lora { get; }

    /// <summary>Opens an adapter of a model.</summary>
    /// <exception cref="DroverException">NotFound; Unimplemented, naming fields that Drover has nothing for; FailedPrecondition when its tensors are not those of the model.</exception>
    public static async Task<PeftAdapter> OpenAsync(IObjectStore store, string prefix, LlamaConfig config, CancellationToken cancellation)
    {
        LoraSpec lora = await ReadSpecAsync(store, prefix, config, cancellation).ConfigureAwait(false);
        string key = ObjectKey.Join(prefix, PeftConfig.WeightsFile);
        SafetensorsFile file;
        try
        {
            file = await SafetensorsFile.OpenAsync(store, key, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code == FailureCode.NotFound)
        {
            throw new DroverException(FailureCode.NotFound, "ADAPTER_NOT_FOUND", $"The adapter '{prefix}' has no {PeftConfig.WeightsFile}; adapters in .bin files, which can run code when read, are not read.", e);
        }

        Dictionary<string, long[]> expected = AdapterTensors.All(lora, config).ToDictionary(t => PeftConfig.Prefix + t.Name, t => t.Shape, StringComparer.Ordinal);
        string[] problems =
        [
            .. expected.Keys.Where(n => !file.Header.Tensors.ContainsKey(n)).Select(n => $"'{n}' is missing"),
            .. file.Header.Tensors.Keys.Where(n => !expected.ContainsKey(n)).Select(n => $"'{n}' is not of its config"),
            .. expected.Where(t => file.Header.Tensors.TryGetValue(t.Key, out SafetensorsEntry? entry) && !entry.Shape.AsSpan().SequenceEqual(t.Value)).Select(t => $"'{t.Key}' is not [{string.Join(", ", t.Value)}]"),
        ];
        return problems.Length == 0
            ? new PeftAdapter(lora, file)
            : throw new DroverException(FailureCode.FailedPrecondition, "ADAPTER_MISMATCH", $"The adapter '{prefix}' is not one of this model: {string.Join("; ", problems.Take(5))}{(problems.Length > 5 ? $"; and {problems.Length - 5} more" : "")}.");
    }

    /// <summary>Reads its config alone.</summary>
    public static async Task<LoraSpec> ReadSpecAsync(IObjectStore store, string prefix, LlamaConfig config, CancellationToken cancellation)
    {
        string key = ObjectKey.Join(prefix, PeftConfig.FileName);
        if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is null)
            throw new DroverException(FailureCode.NotFound, "ADAPTER_NOT_FOUND", $"There is no adapter at '{prefix}': it has no {PeftConfig.FileName}.");
        return PeftConfig.Parse(await store.ReadTextAsync(key, cancellation).ConfigureAwait(false), key, config);
    }

    /// <summary>Reads a box of a tensor, by its name in the model.</summary>
    public Task ReadAsync(string name, long[] shape, TensorBox box, Memory<float> target, CancellationToken cancellation) =>
        SafetensorsFloats.ReadAsync(_file, PeftConfig.Prefix + name, shape, box, target, cancellation);
}
