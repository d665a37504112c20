using Drover.Protocol.Checkpoint.V1;
using Google.Protobuf;

namespace Drover.Cli.Commands;

/// <summary>How what was removed is told.</summary>
internal static class RemovalText
{
    /// <summary>Writes the answer.</summary>
    public static int Write(CliContext context, IMessage answer, Removal removal, bool dryRun)
    {
        context.Write(answer, () => string.Join('\n', [.. removal.Names, Summary(removal, dryRun)]));
        return ExitCodes.Ok;
    }

    private static string Summary(Removal removal, bool dryRun) => removal.Objects == 0
        ? "nothing to remove"
        : $"{(dryRun ? "would remove" : "removed")} {removal.Objects} {(removal.Objects == 1 ? "object" : "objects")}, {Text.Bytes(removal.Bytes)}";
}
