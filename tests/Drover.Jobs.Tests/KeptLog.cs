using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Drover.Jobs.Tests;

/// <summary>A log that keeps its errors.</summary>
internal sealed class KeptLog<T> : ILogger<T>
{
    private readonly ConcurrentQueue<(string Line, Exception? Exception)> _errors = new();

    public IReadOnlyList<(string Line, Exception? Exception)> Errors => [.. _errors];

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel == LogLevel.Error;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel))
            _errors.Enqueue((formatter(state, exception), exception));
    }
}
