using System.Text.Json.Serialization;

namespace Drover.Discovery.Consul;


/// <summary>What is entered of a service.</summary>
/// <param name="ID">Of this instance.</param>
/// <param name="Name">Of the service.</param>
/// <param name="Address">Where others reach it.</param>
/// <param name="Port">Its port.</param>
/// <param name="Tags">Words to look for.</param>
/// <param name="Meta">Version and so on.</param>
/// <param name="Check">How Consul sees whether it is well.</param>
public sealed record ConsulRegistration(string ID, string Name, string Address, int Port, IReadOnlyList<string> Tags, IReadOnlyDictionary<string, string> Meta, ConsulCheck Check);

/// <summary>A check by gRPC's health protocol.</summary>
/// <param name="Name">For people.</param>
/// <param name="GRPC">"host:port".</param>
/// <param name="GRPCUseTLS">Whether it is asked by TLS.</param>
/// <param name="TLSSkipVerify">Whether the certificate is not looked at: the agent has no authority of ours, and health is no secret.</param>
/// <param name="Interval">How often, e.g. "5s".</param>
/// <param name="Timeout">How long an answer may take.</param>
/// <param name="Status">What holds until the first check.</param>
/// <param name="DeregisterCriticalServiceAfter">When one that fails is taken out.</param>
public sealed record ConsulCheck(string Name, string GRPC, bool GRPCUseTLS, bool TLSSkipVerify, string Interval, string Timeout, string Status, string DeregisterCriticalServiceAfter);

/// <summary>An instance that passes its checks.</summary>
/// <param name="Id">Of the instance.</param>
/// <param name="Host">Host or address.</param>
/// <param name="Port">Port.</param>
public sealed record ConsulInstance(string Id, string Host, int Port);

internal sealed record ConsulHealth(ConsulNode Node, ConsulService Service);

internal sealed record ConsulNode(string Address);

internal sealed record ConsulService(string ID, string Address, int Port);

[JsonSerializable(typeof(ConsulRegistration))]
[JsonSerializable(typeof(ConsulHealth[]))]
internal sealed partial class ConsulJson : JsonSerializerContext;
