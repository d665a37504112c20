using System.CommandLine;
using Drover.Protocol.Gateway.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover status</c>.</summary>
internal static class StatusCommand
{
    public static Command Build() => new Command("status", """
        Show whether each service answers. Ends with 3 when one does not.

        Example:
          drover status
        """).Does(async (context, _) =>
        {
            GetStatusResponse status = await context.Gateway.GetStatusAsync(new GetStatusRequest(), cancellationToken: context.Cancellation).ConfigureAwait(false);
            if (context.Json)
            {
                context.WriteJson(status);
            }
            else
            {
                Table table = new Table().Border(TableBorder.Rounded).AddColumns("service", "address", "state");
                table.AddRow("gateway", context.GatewayAddress, "serving");
                foreach (ServiceStatus service in status.Services)
                    table.AddRow(service.Service.EscapeMarkup(), service.Address.EscapeMarkup(), service.Message.EscapeMarkup());
                context.Terminal.Write(table);
            }

            return status.Services.All(s => s.Serving) ? ExitCodes.Ok : ExitCodes.Unreachable;
        });
}
