using Drover.Discovery;
using Drover.Errors;
using Drover.Hosting;
using Drover.Hosting.Security;

namespace Drover.Gateway.Access;

/// <summary>
/// At start: sees to it that there is a key to begin with. It is Security:AdminKey, or one that is made once and kept in
/// access/admin.key of the data folder, readable by its owner only. On a loopback address it is also put where the command line of the
/// same user looks for keys, so that `drover` works at once.
/// </summary>
internal sealed partial class FirstKey(
    SecurityOptions options, ApiKeyStore keys, OwnService own, IConfiguration configuration, TimeProvider time, ILogger<FirstKey> logger) : IHostedService
{
    private const string Name = "first key";

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (options.Authentication == "none")
            return;
        string file = Path.Combine(DroverHost.DataFolder(configuration, "access"), "admin.key");
        string text = options.AdminKey.Length > 0 ? options.AdminKey
            : PrivateFile.ReadOrMake(file, () => ApiKey.Make(ApiKey.NewId(), Name, Scopes.Admin, time.GetUtcNow(), null).Text);
        if (ApiKey.Split(text) is not var (id, secret))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_KEY_FILE", $"'{file}' holds no key; remove it, and a new one is made.");
        ApiKey? stored = await keys.FindAsync(id, cancellationToken).ConfigureAwait(false);
        if (stored is null)
        {
            await keys.AddAsync(ApiKey.Of(text, Name, Scopes.Admin, time.GetUtcNow()), cancellationToken).ConfigureAwait(false);
            if (options.AdminKey.Length == 0)
                LogMade(file);
        }
        else if (!stored.IsSecret(secret))
        {
            throw new DroverException(FailureCode.FailedPrecondition, "KEY_ID_TAKEN", $"The object store has another key {id} than this gateway's first one. Give Security:AdminKey another id.");
        }

        if (SecurityAddresses.IsLoopback(own.Address))
            Hand(own.Address, text);
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    // Where `drover` looks (KeyFile of Drover.Client).
    private void Hand(Uri address, string text)
    {
        string home = Environment.GetEnvironmentVariable("XDG_CONFIG_HOME") is { Length: > 0 } folder ? folder
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".config");
        string place = Path.Combine(home, "drover", "keys", $"{address.Host}_{address.Port}");
        try
        {
            PrivateFile.Write(place, text);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotHanded(place, e.Message);
        }
    }

    [LoggerMessage(1, LogLevel.Information, "A first key with all rights was made: {File}")]
    private partial void LogMade(string file);

    [LoggerMessage(2, LogLevel.Warning, "The first key could not be put at {Place}, where drover looks: {Why}. Give it by DROVER_KEY.")]
    private partial void LogNotHanded(string place, string why);
}
