using System.CommandLine;
using Drover.Errors;

namespace Drover.Cli.Commands;

/// <summary><c>drover completion</c>: scripts that ask drover itself, by its [suggest] directive, what may come next.</summary>
internal static class CompletionCommand
{
    private const string Bash = """
        _drover() {
          local line=${COMP_LINE:0:COMP_POINT}
          local IFS=$'\n'
          COMPREPLY=($(compgen -W "$(drover "[suggest:${#line}]" "$line" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
        }
        complete -o default -F _drover drover
        """;

    private const string Zsh = """
        _drover() {
          local line="${words[1,CURRENT]}"
          compadd -- ${(f)"$(drover "[suggest:${#line}]" "$line" 2>/dev/null)"}
        }
        compdef _drover drover
        """;

    private const string Fish = """
        complete -c drover -a '(set -l line (commandline -cp); drover "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null)'
        """;

    private static readonly Argument<string> Shell = new("SHELL") { Description = "bash, zsh or fish" };

    public static Command Build() => new Command("completion", """
        Print what makes a shell complete drover's commands and options.

        Examples:
          source <(drover completion bash)
          drover completion fish >~/.config/fish/completions/drover.fish
        """) { Shell }.Does((context, parse) =>
        {
            context.Output.WriteLine(parse.GetValue(Shell) switch
            {
                "bash" => Bash,
                "zsh" => Zsh,
                "fish" => Fish,
                string other => throw new DroverException(FailureCode.InvalidArgument, "UNKNOWN_SHELL", $"'{other}' is none of bash, zsh, fish."),
                null => "",
            });
            return Task.FromResult(ExitCodes.Ok);
        });
}
