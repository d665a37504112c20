using System.CommandLine;

namespace Drover.Cli.Commands;

/// <summary>Options whose values are those of an enum of the protos, in lower case.</summary>
internal static class EnumOption
{
    /// <summary>Makes one; the enum's first value, "unspecified", is what it is when not given.</summary>
    public static Option<T> Of<T>(string name, string description, params (string Word, T Value)[] values)
        where T : struct, Enum
    {
        var option = new Option<T>(name)
        {
            Description = $"{description}: {string.Join(", ", values.Select(v => v.Word))}",
            HelpName = string.Join('|', values.Select(v => v.Word)),
            CustomParser = result =>
            {
                string given = result.Tokens[0].Value;
                foreach ((string word, T value) in values)
                {
                    if (word == given)
                        return value;
                }

                result.AddError($"{name} is '{given}'; it may be {string.Join(", ", values.Select(v => v.Word))}.");
                return default;
            },
        };
        return option;
    }
}
