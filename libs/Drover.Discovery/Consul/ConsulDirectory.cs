namespace Drover.Discovery.Consul;

/// <summary>Services as Consul knows them: an address is a name that channels resolve, again and again.</summary>
public sealed class ConsulDirectory : IServiceDirectory
{
    /// <inheritdoc />
    public Uri Find(string service) => new($"{ConsulResolverFactory.SchemeName}:///{service}");
}
