using Drover.Checkpoint.Checkpoints;
using Drover.Errors;
using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Exports;

/// <summary>What an export's spec may say, and what its defaults are.</summary>
internal static class ExportRules
{
    private const long DefaultShardBytes = 5_000_000_000;

    /// <summary>Refuses a spec that can never be done.</summary>
    /// <exception cref="DroverException">InvalidArgument, naming every field that is wrong.</exception>
    public static void Check(ExportSpec? spec)
    {
        if (spec is null)
            throw Refused("spec is missing.");
        var problems = new List<string>();
        if (spec.Name.Contains('/', StringComparison.Ordinal) || spec.Name.StartsWith('.') || !IsKey(spec.Name))
            problems.Add($"name '{spec.Name}' is not one plain word of letters, digits, dots, dashes and underscores (it becomes 'models/<name>').");
        if (CheckpointName.Find(spec.Checkpoint) is null && !RunKeys.IsBest(spec.Checkpoint))
            problems.Add($"checkpoint '{spec.Checkpoint}' is not like 'runs/my-run/checkpoints/step-00001000' or 'runs/my-run/checkpoints/best'.");
        if (spec.Tokenizer.Length > 0 && !IsKey(spec.Tokenizer))
            problems.Add($"tokenizer '{spec.Tokenizer}' is not a reference like 'tokenizers/my-tokenizer' or 'models/my-model'.");
        if (!Enum.IsDefined(spec.DataType))
            problems.Add($"data_type {(int)spec.DataType} is not known.");
        if (!Enum.IsDefined(spec.Form))
            problems.Add($"form {(int)spec.Form} is not known.");
        if (spec.AdapterBase.Length > 0 && spec.Form != ExportForm.Adapter)
            problems.Add("adapter_base is of the form adapter.");
        if (spec.KeepPadding && spec.Form == ExportForm.Adapter)
            problems.Add("keep_padding is of the form merged.");
        if (spec.MaxShardBytes < 0)
            problems.Add($"max_shard_bytes is {spec.MaxShardBytes}; 0 means 5 GB.");
        if (problems.Count > 0)
            throw Refused(string.Join(" ", problems));
    }

    /// <summary>Where the model goes.</summary>
    public static string PrefixOf(ExportSpec spec) => $"models/{spec.Name}";

    /// <summary>The file that is written last and makes the folder valid.</summary>
    public static string LastFile(ExportSpec spec) => spec.Form == ExportForm.Adapter ? PeftConfig.FileName : LlamaConfig.FileName;

    /// <summary>Largest shard, bytes of tensors: PEFT reads an adapter from one file.</summary>
    public static long ShardBytes(ExportSpec spec) => spec.Form == ExportForm.Adapter ? long.MaxValue : spec.MaxShardBytes > 0 ? spec.MaxShardBytes : DefaultShardBytes;

    /// <summary>The type of the weights as safetensors names it, and as transformers does.</summary>
    public static (string Safetensors, string Transformers) TypeOf(ExportSpec spec) => spec.DataType switch
    {
        // Adapters are small, and go on being trained: PEFT keeps them in fp32.
        ExportDataType.Unspecified when spec.Form == ExportForm.Adapter => (SafetensorsTypes.F32, "float32"),
        ExportDataType.Fp16 => (SafetensorsTypes.F16, "float16"),
        ExportDataType.Fp32 => (SafetensorsTypes.F32, "float32"),
        _ => (SafetensorsTypes.BF16, "bfloat16"),
    };

    private static bool IsKey(string text)
    {
        try
        {
            ObjectKey.Check(text);
            return true;
        }
        catch (DroverException)
        {
            return false;
        }
    }

    private static DroverException Refused(string why) => new(FailureCode.InvalidArgument, "INVALID_EXPORT_SPEC", $"Export: {why}");
}
