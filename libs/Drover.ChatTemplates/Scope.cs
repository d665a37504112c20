namespace Drover.ChatTemplates;

/// <summary>Names and their values; a loop's body has a scope of its own, and what it sets is gone after it.</summary>
internal sealed class Scope(Scope? outer)
{
    private readonly Dictionary<string, object?> _values = new(StringComparer.Ordinal);

    public object? Get(string name)
    {
        for (Scope? scope = this; scope is not null; scope = scope.Outer)
        {
            if (scope._values.TryGetValue(name, out object? value))
                return value;
        }

        return new Undefined(name);
    }

    public void Set(string name, object? value) => _values[name] = value;

    private Scope? Outer => outer;
}
