using System.Globalization;
using System.Text;

namespace Drover.Gateway.Metrics;

/// <summary>Writes Prometheus' text format, version 0.0.4.</summary>
internal sealed class PrometheusText
{
    private readonly StringBuilder _text = new();

    /// <summary>A gauge with its values.</summary>
    public void Gauge(string name, string help, IEnumerable<((string Name, string Value)[] Labels, double Value)> values)
    {
        _text.Append(CultureInfo.InvariantCulture, $"# HELP {name} {help}\n# TYPE {name} gauge\n");
        foreach (((string Name, string Value)[] labels, double value) in values)
        {
            string shown = string.Join(',', labels.Select(l => $"{l.Name}=\"{Escape(l.Value)}\""));
            _text.Append(CultureInfo.InvariantCulture, $"{name}{(shown.Length > 0 ? $"{{{shown}}}" : "")} {Number(value)}\n");
        }
    }

    /// <inheritdoc />
    public override string ToString() => _text.ToString();

    private static string Escape(string text) =>
        text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);

    private static string Number(double value) => double.IsNaN(value) ? "NaN" : double.IsInfinity(value) ? (value > 0 ? "+Inf" : "-Inf") : value.ToString("R", CultureInfo.InvariantCulture);
}
