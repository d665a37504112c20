using System.Globalization;
using System.Text;
using System.Text.Json;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>The spans of all ranks, as a chrome trace (Trace Event Format) and as tables for people.</summary>
internal static class ProfileReport
{
    /// <summary>Category of a whole step.</summary>
    public const string Step = "step";

    /// <summary>A process a rank: blocks and waits nest on its first track; operations in flight have a track an axis.</summary>
    public static string ChromeTrace(ProfiledSpan[][] ranks)
    {
        using var body = new MemoryStream();
        using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("displayTimeUnit", "ms");
            json.WriteStartArray("traceEvents");
            for (int rank = 0; rank < ranks.Length; rank++)
            {
                Event(json, "process_name", "", "M", rank, 0, null);
                json.WriteStartObject("args");
                json.WriteString("name", $"rank {rank}");
                json.WriteEndObject();
                json.WriteEndObject();
                for (int i = 0; i < ranks[rank].Length; i++)
                    Write(json, ranks[rank][i], rank, i);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(body.ToArray());
    }

    /// <summary>Milliseconds a step by block and by border action.</summary>
    public static string Summary(ProfiledSpan[][] ranks, long first, long last)
    {
        int steps = (int)(last - first + 1);
        double whole = ranks.Average(r => r.Where(s => s.Category == Step).Sum(s => s.Duration)) / steps;
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"Steps {first} to {last} on {ranks.Length} {(ranks.Length == 1 ? "rank" : "ranks")}: {whole / 1000:0.0} ms a step. Times are ms a step, the mean over ranks, and of the slowest rank.\n\n");
        text.Append(CultureInfo.InvariantCulture, $"{"block",-36}{"calls",7}{"ms",10}{"slowest",10}{"of it waiting",15}{"share",8}\n");
        double sum = 0;
        foreach (Line line in Lines(ranks, steps))
        {
            sum += line.Mean;
            text.Append(CultureInfo.InvariantCulture, $"{line.Name,-36}{line.Calls,7:0.#}{line.Mean / 1000,10:0.00}{line.Slowest / 1000,10:0.00}{line.Waiting / 1000,15:0.00}{line.Mean / whole,8:0.0 %}\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"{"all of these",-36}{"",7}{sum / 1000,10:0.00}{"",10}{"",15}{sum / whole,8:0.0 %}\n");
        ProfiledSpan[] operations = [.. ranks.SelectMany(r => r.Where(s => s.Category == StepTrace.Operation))], waits = [.. ranks.SelectMany(r => r.Where(s => s.Category == StepTrace.Wait))];
        if (operations.Length == 0)
            return text.ToString();
        text.Append(CultureInfo.InvariantCulture, $"\n{"border action",-36}{"calls",7}{"MB",10}{"in flight",10}{"waited for",15}\n");
        double share = 1.0 / (steps * ranks.Length);
        foreach (IGrouping<string, ProfiledSpan> action in operations.GroupBy(o => o.Name, StringComparer.Ordinal).OrderByDescending(g => waits.Where(w => w.Name == g.Key).Sum(w => w.Duration)))
            text.Append(CultureInfo.InvariantCulture, $"{action.Key,-36}{action.Count() * share,7:0.#}{action.Sum(o => o.Bytes) * share / 1e6,10:0.00}{action.Sum(o => o.Duration) * share / 1000,10:0.00}{waits.Where(w => w.Name == action.Key).Sum(w => w.Duration) * share / 1000,15:0.00}\n");
        return text.ToString();
    }

    private static IEnumerable<Line> Lines(ProfiledSpan[][] ranks, int steps)
    {
        // What a span holds of other spans is told with those: recomputation in a backward pass, and apart, waits.
        var all = ranks.Select(r => r.Where(s => s.Category is not (StepTrace.Operation or StepTrace.Wait or Step))
            .Select(s => (Span: s, Own: s.Duration - r.Where(o => o.Category == "recompute" && s.Category == "backward" && Inside(o, s)).Sum(o => o.Duration), Waiting: r.Where(o => o.Category == StepTrace.Wait && Inside(o, s)).Sum(o => o.Duration))).ToArray()).ToArray();
        string[] names = [.. all.SelectMany(r => r.Select(s => $"{s.Span.Category} {s.Span.Name}")).Distinct()];
        foreach (string name in names)
        {
            double[] own = [.. all.Select(r => r.Where(s => $"{s.Span.Category} {s.Span.Name}" == name).Sum(s => s.Own) / steps)];
            var spans = all.SelectMany(r => r.Where(s => $"{s.Span.Category} {s.Span.Name}" == name)).ToArray();
            yield return new Line(name, spans.Length / (double)(steps * ranks.Length), own.Average(), own.Max(), spans.Sum(s => s.Waiting) / (steps * ranks.Length));
        }
    }

    private static bool Inside(ProfiledSpan inner, ProfiledSpan outer) => inner.Start >= outer.Start && inner.End <= outer.End;

    private static void Write(Utf8JsonWriter json, ProfiledSpan span, int rank, int number)
    {
        if (span.Category != StepTrace.Operation)
        {
            Event(json, span.Name, span.Category, "X", rank, 0, span.Start);
            json.WriteNumber("dur", Math.Round(span.Duration, 3));
            json.WriteEndObject();
            return;
        }

        // Several may be in flight at once: asynchronous events.
        foreach ((string phase, double at) in new[] { ("b", span.Start), ("e", span.End) })
        {
            Event(json, span.Name, span.Category, phase, rank, 1, at);
            json.WriteString("id", $"{rank}.{number}");
            json.WriteStartObject("args");
            json.WriteNumber("bytes", span.Bytes);
            json.WriteEndObject();
            json.WriteEndObject();
        }
    }

    // Leaves the object open.
    private static void Event(Utf8JsonWriter json, string name, string category, string phase, int rank, int thread, double? at)
    {
        json.WriteStartObject();
        json.WriteString("name", name);
        json.WriteString("cat", category);
        json.WriteString("ph", phase);
        json.WriteNumber("pid", rank);
        json.WriteNumber("tid", thread);
        if (at is { } time)
            json.WriteNumber("ts", Math.Round(time, 3));
    }

    private sealed record Line(string Name, double Calls, double Mean, double Slowest, double Waiting);
}
