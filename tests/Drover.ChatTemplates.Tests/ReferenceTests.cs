using System.Text.Json;
using Drover.Errors;

namespace Drover.ChatTemplates.Tests;

/// <summary>Renderings against those of transformers; tests/goldens/chat_templates.py wrote the files.</summary>
public sealed class ReferenceTests
{
    private const string Variable = "DROVER_CHAT_TEMPLATES";

    [Fact]
    public void Templates_of_all_constructs_are_rendered_as_transformers_does() =>
        Compare(Path.Combine(AppContext.BaseDirectory, "templates.golden.json"));

    [Fact]
    public void Published_templates_are_rendered_as_transformers_does()
    {
        string? file = Environment.GetEnvironmentVariable(Variable);
        Assert.SkipWhen(string.IsNullOrEmpty(file), $"needs a file that tests/goldens/chat_templates.py wrote from published templates; {Variable} names none");
        Compare(file!);
    }

    private static void Compare(string file)
    {
        using var golden = JsonDocument.Parse(File.ReadAllBytes(file));
        var differences = new List<string>();
        int count = 0;
        foreach (JsonElement item in golden.RootElement.EnumerateArray())
        {
            string? expected = item.TryGetProperty("text", out JsonElement text) ? text.GetString() : null;
            string? actual;
            string why = item.TryGetProperty("error", out JsonElement error) ? error.GetString()! : "";
            try
            {
                actual = ChatTemplate.Parse(item.GetProperty("template").GetString()!).Render(
                    item.GetProperty("messages"),
                    item.GetProperty("add_generation_prompt").GetBoolean(),
                    item.GetProperty("variables").EnumerateObject().ToDictionary(p => p.Name, p => p.Value),
                    TestContext.Current.CancellationToken).Text;
            }
            catch (DroverException e)
            {
                actual = null;
                why += " | " + e.Message;
            }

            count++;
            if (actual != expected)
                differences.Add($"{item.GetProperty("name").GetString()} {item.GetProperty("messages").GetRawText()[..Math.Min(60, item.GetProperty("messages").GetRawText().Length)]} {why}\n  expected {JsonSerializer.Serialize(expected)}\n  actual   {JsonSerializer.Serialize(actual)}");
        }

        Assert.True(differences.Count == 0, $"{differences.Count} of {count} differ:\n{string.Join('\n', differences.Take(12))}");
        Assert.True(count > 20);
    }
}
