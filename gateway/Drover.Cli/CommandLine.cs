using System.CommandLine;
using System.CommandLine.Invocation;
using Drover.Cli.Commands;

namespace Drover.Cli;

/// <summary>The <c>drover</c> command: its tree, and how a run of it ends.</summary>
public static class CommandLine
{
    private const string Description = """
        Drover trains LLaMA models further: a base model and raw text go in, a better Hugging Face model comes out.

        Begin with:
          drover up                          start all services on this machine
          drover run pipeline.yaml           run a pipeline and watch it
          drover pull models/NAME ./NAME     fetch the model it made

        Exit codes: 0 done, 1 a job failed, 2 wrong command line or input, 3 the gateway or a service does not answer, 130 cancelled.
        """;

    /// <summary>Runs one command line.</summary>
    /// <returns>One of <see cref="ExitCodes"/>.</returns>
    public static async Task<int> RunAsync(string[] args, TextWriter output, TextWriter error, CancellationToken cancellation)
    {
        ParseResult parse = Build().Parse(args);
        if (parse.Errors.Count > 0 && parse.Action is ParseErrorAction)
        {
            await error.WriteLineAsync($"error: {string.Join(' ', parse.Errors.Select(e => e.Message))} See 'drover {CommandPath(parse)}--help'.").ConfigureAwait(false);
            return ExitCodes.BadInput;
        }

        var configuration = new InvocationConfiguration { Output = output, Error = error, EnableDefaultExceptionHandler = false };
        return await parse.InvokeAsync(configuration, cancellation).ConfigureAwait(false);
    }

    /// <summary>The tree of commands.</summary>
    public static RootCommand Build()
    {
        var root = new RootCommand(Description)
        {
            UpCommand.Build(),
            RunCommand.Build(),
            JobsCommands.Build(),
            PullCommand.Build(),
            UploadCommand.Build(),
            TokenizerCommands.Build(),
            DatasetCommands.Build(),
            TrainCommands.Build(),
            GenerateCommand.Build(),
            CheckpointCommands.Build(),
            RunsCommands.Build(),
            RunsCommands.Lineage(),
            ModelsCommands.Build(),
            StatusCommand.Build(),
        };
        root.Options.Add(GlobalOptions.Gateway);
        root.Options.Add(GlobalOptions.Json);
        return root;
    }

    private static string CommandPath(ParseResult parse)
    {
        string path = "";
        for (var command = parse.CommandResult; command?.Parent is not null; command = command.Parent as System.CommandLine.Parsing.CommandResult)
            path = command.Command.Name + " " + path;
        return path;
    }
}
