using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Protocol.Trainer.V1;
using Google.Protobuf.Reflection;
using Google.Rpc;

namespace Drover.Gateway.Json;

/// <summary>Every RPC of Drover, by its name.</summary>
internal static class RpcCatalog
{
    private static readonly FileDescriptor[] Files =
    [
        GatewayServiceReflection.Descriptor, AccessServiceReflection.Descriptor, TokenizerServiceReflection.Descriptor, DataprepServiceReflection.Descriptor,
        TrainerServiceReflection.Descriptor, CheckpointServiceReflection.Descriptor,
    ];

    private static readonly Dictionary<string, MethodDescriptor> ByName = Files.SelectMany(f => f.Services).SelectMany(s => s.Methods)
        .ToDictionary(m => $"{m.Service.FullName}/{m.Name}", StringComparer.Ordinal);

    /// <summary>All of them, in the order of the protos.</summary>
    public static IEnumerable<MethodDescriptor> All => ByName.Values;

    /// <summary>The messages of Drover and of its errors, for what travels as google.protobuf.Any.</summary>
    public static TypeRegistry Types { get; } = TypeRegistry.FromFiles([.. Files, ErrorDetailsReflection.Descriptor]);

    /// <summary>The RPC of a name such as "drover.trainer.v1.TrainerService", "ListTrainingJobs"; or null.</summary>
    public static MethodDescriptor? Find(string service, string method) => ByName.GetValueOrDefault($"{service}/{method}");

    /// <summary>Which of Drover's services answers it: the middle of "drover.trainer.v1".</summary>
    public static string ServiceOf(MethodDescriptor method) => method.File.Package.Split('.')[1];
}
