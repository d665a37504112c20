using System.CommandLine;
using Drover.Client;
using Drover.Protocol.Gateway.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover login</c>.</summary>
internal static class LoginCommand
{
    private static readonly Option<bool> Forget = new("--forget") { Description = "Forget the key of this gateway instead" };

    public static Command Build() => new Command("login", """
        Keep the key of a gateway for this user: asked for, or read from standard input. A gateway on loopback that this user started
        needs none of it. DROVER_KEY wins over what is kept; DROVER_CA names the authority (PEM) of a gateway with TLS of its own.

        Examples:
          drover login --gateway https://drover.example.com:7500
          cat key.txt | drover login
        """) { Forget }.Does(async (context, parse) =>
        {
            Uri gateway = DroverClient.AddressOf(context.GatewayAddress);
            if (parse.GetValue(Forget))
            {
                KeyFile.Delete(gateway);
                context.Output.WriteLine($"no key is kept for {context.GatewayAddress}");
                return ExitCodes.Ok;
            }

            string key = Console.IsInputRedirected
                ? (await Console.In.ReadLineAsync(context.Cancellation).ConfigureAwait(false) ?? "").Trim()
                : await new TextPrompt<string>($"Key for {context.GatewayAddress}:").Secret().ShowAsync(AnsiConsole.Console, context.Cancellation).ConfigureAwait(false);
            string path = KeyFile.Write(gateway, key);
            // Tried at once: a key that does not work is better known now.
            await context.Gateway.GetStatusAsync(new GetStatusRequest(), cancellationToken: context.Cancellation).ConfigureAwait(false);
            context.Output.WriteLine($"kept in {path}");
            return ExitCodes.Ok;
        });
}
