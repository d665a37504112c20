using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Protocol.Trainer.V1;
using Google.Protobuf.Reflection;

namespace Drover.Protocol;

/// <summary>Every RPC of Drover's services.</summary>
public static class DroverRpcs
{
    /// <summary>The protos that have services.</summary>
    public static IReadOnlyList<FileDescriptor> Files { get; } =
    [
        GatewayServiceReflection.Descriptor, AccessServiceReflection.Descriptor, TokenizerServiceReflection.Descriptor, DataprepServiceReflection.Descriptor,
        TrainerServiceReflection.Descriptor, CheckpointServiceReflection.Descriptor,
    ];

    /// <summary>All RPCs, in the order of the protos.</summary>
    public static IReadOnlyList<MethodDescriptor> Methods { get; } = [.. Files.SelectMany(file => file.Services).SelectMany(service => service.Methods)];

    /// <summary>As gRPC calls it: "/package.Service/Method".</summary>
    public static string PathOf(MethodDescriptor method) => $"/{method.Service.FullName}/{method.Name}";
}
