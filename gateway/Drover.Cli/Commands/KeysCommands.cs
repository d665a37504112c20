using System.CommandLine;
using System.Globalization;
using Drover.Errors;
using Drover.Protocol.Gateway.V1;
using Google.Protobuf.WellKnownTypes;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover keys</c>: who may call.</summary>
internal static class KeysCommands
{
    private static readonly Argument<string> Name = new("NAME") { Description = "Whose key it is, or what for" };
    private static readonly Argument<string> Id = new("ID") { Description = "The key's id: 8 hex digits, as list shows it" };

    private static readonly Option<string[]> ScopesOption = new("--scope")
    {
        Description = "read, pull (list and fetch models), submit (start and stop work, upload, generate), admin (all, and keys); may be given often",
        DefaultValueFactory = _ => ["read", "pull", "submit"],
        AllowMultipleArgumentsPerToken = true,
    };

    private static readonly Option<string> Expires = new("--expires")
    {
        Description = "How long it is taken: 12h, 30d, 52w; or never",
        DefaultValueFactory = _ => "90d",
    };

    public static Command Build() => new("keys", "Make, list and revoke the keys by which callers are known. Needs a key with the scope admin.")
    {
        Create(), List(), Revoke(),
    };

    private static Command Create() => new Command("create", """
        Make a key and print it; it is shown this once, only a hash of it is kept.

        Examples:
          drover keys create anna
          drover keys create inference-cluster --scope pull --expires never
        """) { Name, ScopesOption, Expires }.Does(async (context, parse) =>
        {
            var request = new CreateKeyRequest { RequestId = Guid.NewGuid().ToString(), Name = parse.GetValue(Name)!, Scopes = { parse.GetValue(ScopesOption)!.SelectMany(s => s.Split(',')) } };
            if (Lifetime(parse.GetValue(Expires)!) is { } lifetime)
                request.Lifetime = Duration.FromTimeSpan(lifetime);
            CreateKeyResponse made = await context.Access.CreateKeyAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
            context.Write(made, () => made.Text);
            if (!context.Json)
                await context.Error.WriteLineAsync($"key {made.Key.Id} of {made.Key.Name}: {string.Join(", ", made.Key.Scopes)}; {Until(made.Key)}. It is not shown again.").ConfigureAwait(false);
            return ExitCodes.Ok;
        });

    private static Command List() => new Command("list", """
        List all keys, never their texts.

        Example:
          drover keys list
        """).Does(async (context, _) =>
        {
            ListKeysResponse keys = await context.Access.ListKeysAsync(new ListKeysRequest(), cancellationToken: context.Cancellation).ConfigureAwait(false);
            if (context.Json)
            {
                foreach (Key key in keys.Keys)
                    context.WriteJson(key);
                return ExitCodes.Ok;
            }

            Table table = new Table().Border(TableBorder.Rounded).AddColumns("id", "name", "scopes", "made", "until");
            foreach (Key key in keys.Keys)
                table.AddRow(key.Id, key.Name.EscapeMarkup(), string.Join(", ", key.Scopes), Day(key.CreateTime), Until(key));
            context.Terminal.Write(table);
            return ExitCodes.Ok;
        });

    private static Command Revoke() => new Command("revoke", """
        Revoke a key: it is refused from now on, everywhere within five seconds.

        Example:
          drover keys revoke 1a2b3c4d
        """) { Id }.Does(async (context, parse) =>
        {
            RevokeKeyResponse revoked = await context.Access.RevokeKeyAsync(new RevokeKeyRequest { Id = parse.GetValue(Id)! }, cancellationToken: context.Cancellation).ConfigureAwait(false);
            context.Write(revoked, () => $"key {revoked.Key.Id} of {revoked.Key.Name} is revoked");
            return ExitCodes.Ok;
        });

    private static TimeSpan? Lifetime(string text)
    {
        if (text == "never")
            return null;
        if (text.Length > 1 && int.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count is > 0 and <= 100_000)
        {
            switch (text[^1])
            {
                case 'h':
                    return TimeSpan.FromHours(count);
                case 'd':
                    return TimeSpan.FromDays(count);
                case 'w':
                    return TimeSpan.FromDays(7 * count);
                default:
                    break;
            }
        }

        throw new DroverException(FailureCode.InvalidArgument, "INVALID_LIFETIME", $"--expires '{text}' must be a number of h, d or w (12h, 30d, 52w), or never.");
    }

    private static string Until(Key key) =>
        key.RevokeTime is not null ? $"revoked {Day(key.RevokeTime)}" : key.ExpireTime is not null ? Day(key.ExpireTime) : "never expires";

    private static string Day(Timestamp time) => time.ToDateTimeOffset().ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture);
}
