namespace Drover.Discovery;

/// <summary>The service that this host is.</summary>
/// <param name="Name">One of <see cref="ServiceNames"/>.</param>
/// <param name="Address">Where it listens.</param>
public sealed record OwnService(string Name, Uri Address);
