namespace Drover.ChatTemplates;

/// <summary>A template that cannot be read or run: what is wrong, and in which line.</summary>
internal sealed class TemplateException(string message, int line = 0) : Exception(message)
{
    public int Line { get; } = line;
}
