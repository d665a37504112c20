using Drover.Protocol.Gateway.V1;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Work = Drover.Protocol.Gateway.V1.PipelineStep.WorkOneofCase;

namespace Drover.Gateway.Pipelines.Steps;

/// <summary>What a step may be, and what each kind gives to later steps.</summary>
internal static class StepKinds
{
    /// <summary>Output: a tokenizer reference.</summary>
    public const string Tokenizer = "tokenizer";

    /// <summary>Output: a model reference.</summary>
    public const string Model = "model";

    /// <summary>Output: a dataset reference.</summary>
    public const string Dataset = "dataset";

    /// <summary>Output: a checkpoint reference.</summary>
    public const string Checkpoint = "checkpoint";

    /// <summary>Output: the checkpoint with the best loss on held-out data; empty where the run has none.</summary>
    public const string BestCheckpoint = "best_checkpoint";

    /// <summary>Output: mean loss in nats.</summary>
    public const string Loss = "loss";

    /// <summary>Output: bits per UTF-8 byte.</summary>
    public const string BitsPerByte = "bits_per_byte";

    private static readonly OneofDescriptor WorkOneof = PipelineStep.Descriptor.Oneofs.Single(o => o.Name == "work");

    /// <summary>The words for the kinds, as they stand in a pipeline file.</summary>
    public static IEnumerable<string> Names => WorkOneof.Fields.Select(f => f.Name);

    /// <summary>The spec of a step, or null when it has none.</summary>
    public static IMessage? SpecOf(PipelineStep step) =>
        WorkOneof.Accessor.GetCaseFieldDescriptor(step) is { } field ? (IMessage)field.Accessor.GetValue(step) : null;

    /// <summary>The word for a step's kind.</summary>
    public static string NameOf(PipelineStep step) => WorkOneof.Accessor.GetCaseFieldDescriptor(step)?.Name ?? "";

    /// <summary>What a step of this kind gives.</summary>
    public static IReadOnlyList<string> OutputsOf(PipelineStep step) => step.WorkCase switch
    {
        Work.TrainTokenizer => [Tokenizer],
        Work.Expand => step.Expand.BaseModel.Length > 0 ? [Tokenizer, Model] : [Tokenizer],
        Work.Prepare => [Dataset],
        Work.Train => [Checkpoint, Loss, BestCheckpoint],
        Work.Evaluate => [Loss, BitsPerByte],
        Work.Export => [Model],
        _ => [],
    };

    /// <summary>Fills an empty name of a spec that has one.</summary>
    public static void FillName(IMessage spec, string name)
    {
        FieldDescriptor? field = spec.Descriptor.FindFieldByName("name");
        if (field is not null && ((string)field.Accessor.GetValue(spec)).Length == 0)
            field.Accessor.SetValue(spec, name);
    }
}
