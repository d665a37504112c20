using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Drover.Testing;

/// <summary>Keeps what a service logs, each line with the entries of its scopes and its own; add it to the service's ILoggerFactory.</summary>
public sealed class KeptLog : ILoggerProvider, ISupportExternalScope, ILogger
{
    private IExternalScopeProvider _scopes = new LoggerExternalScopeProvider();

    /// <summary>What was logged until now, in order.</summary>
    public ConcurrentQueue<KeptLine> Lines { get; } = new();

    /// <inheritdoc />
    public ILogger CreateLogger(string categoryName) => this;

    /// <inheritdoc />
    public void SetScopeProvider(IExternalScopeProvider scopeProvider) => _scopes = scopeProvider;

    /// <inheritdoc />
    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        ArgumentNullException.ThrowIfNull(formatter);
        var entries = new Dictionary<string, object?>(StringComparer.Ordinal);
        _scopes.ForEachScope((scope, all) => Add(scope, all), entries);
        Add(state, entries);
        Lines.Enqueue(new KeptLine(logLevel, formatter(state, exception) + exception, entries));
    }

    /// <inheritdoc />
    public bool IsEnabled(LogLevel logLevel) => true;

    /// <inheritdoc />
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => _scopes.Push(state);

    /// <inheritdoc />
    public void Dispose()
    {
        // Nothing is held.
    }

    private static void Add(object? state, Dictionary<string, object?> entries)
    {
        foreach ((string key, object? value) in state as IEnumerable<KeyValuePair<string, object?>> ?? [])
            entries[key] = value;
    }
}

/// <summary>A line of a log.</summary>
/// <param name="Level">Its level.</param>
/// <param name="Text">As the console writes it, an exception included.</param>
/// <param name="Entries">Values by name, of the scopes and of the line itself.</param>
public sealed record KeptLine(LogLevel Level, string Text, IReadOnlyDictionary<string, object?> Entries);
