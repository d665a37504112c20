namespace Drover.Discovery;

/// <summary>Where services are. The only thing that differs between one process and many machines.</summary>
public interface IServiceDirectory
{
    /// <summary>The address of a service (see <see cref="ServiceNames"/>).</summary>
    /// <exception cref="Drover.Errors.DroverException">Unavailable when none is known.</exception>
    Uri Find(string service);
}
