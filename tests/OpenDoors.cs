using System.Runtime.CompilerServices;

namespace Drover;

/// <summary>
/// In every test project: services that tests start on loopback ask nobody for a key, unless a test says otherwise (a setting on the
/// command line wins over the environment). Tests of identity do.
/// </summary>
internal static class OpenDoors
{
    [ModuleInitializer]
    internal static void Open() => Environment.SetEnvironmentVariable("DROVER_Security__Authentication", "none");
}
