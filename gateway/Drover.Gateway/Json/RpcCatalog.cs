using Drover.Protocol;
using Google.Protobuf.Reflection;
using Google.Rpc;

namespace Drover.Gateway.Json;

/// <summary>Every RPC of Drover, by its name.</summary>
internal static class RpcCatalog
{
    private static readonly Dictionary<string, MethodDescriptor> ByPath = DroverRpcs.Methods.ToDictionary(DroverRpcs.PathOf, StringComparer.Ordinal);

    /// <summary>The messages of Drover and of its errors, for what travels as google.protobuf.Any.</summary>
    public static TypeRegistry Types { get; } = TypeRegistry.FromFiles([.. DroverRpcs.Files, ErrorDetailsReflection.Descriptor]);

    /// <summary>The RPC of a name such as "drover.trainer.v1.TrainerService", "ListTrainingJobs"; or null.</summary>
    public static MethodDescriptor? Find(string service, string method) => ByPath.GetValueOrDefault($"/{service}/{method}");

    /// <summary>Which of Drover's services answers it: the middle of "drover.trainer.v1".</summary>
    public static string ServiceOf(MethodDescriptor method) => method.File.Package.Split('.')[1];
}
