using Drover.Errors;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Hosting;

namespace Drover.Hosting;

/// <summary>Runs services until they are told to stop; what keeps one from starting becomes one line and an exit code.</summary>
public static class ServiceRunner
{
    /// <summary>Builds and runs services: started in order, stopped in reverse.</summary>
    /// <returns>Exit code: 0 after a stop, 2 for bad configuration, 1 when one could not start.</returns>
    public static async Task<int> RunAsync(string[] args, params Func<string[], WebApplication>[] modules)
    {
        var running = new List<WebApplication>();
        int started = 0;
        try
        {
            foreach (Func<string[], WebApplication> build in modules)
            {
                WebApplication app = build(args);
                running.Add(app);
                await app.StartAsync().ConfigureAwait(false);
                started++;
            }

            await Task.WhenAny(running.Select(app => app.WaitForShutdownAsync())).ConfigureAwait(false);
            return 0;
        }
        catch (DroverException e)
        {
            await Console.Error.WriteLineAsync($"error: {e.Message}").ConfigureAwait(false);
            return 2;
        }
        catch (Microsoft.Extensions.Options.OptionsValidationException e)
        {
            await Console.Error.WriteLineAsync($"error: configuration: {string.Join(' ', e.Failures)}").ConfigureAwait(false);
            return 2;
        }
        catch (IOException e) when (e.InnerException is AddressInUseException)
        {
            await Console.Error.WriteLineAsync($"error: {e.Message} Another Drover may be running; stop it, or give this one other addresses (--Services:<name>=http://127.0.0.1:<port>).").ConfigureAwait(false);
            return 1;
        }
        finally
        {
            foreach (WebApplication app in Enumerable.Reverse(running))
            {
                // One that could not start has nothing to stop, and may fail on being asked to.
                if (running.IndexOf(app) < started)
                    await app.StopAsync().ConfigureAwait(false);
                await app.DisposeAsync().ConfigureAwait(false);
            }
        }
    }
}
