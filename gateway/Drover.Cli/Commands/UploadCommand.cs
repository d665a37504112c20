using System.CommandLine;
using Drover.Cli.Inputs;

namespace Drover.Cli.Commands;

/// <summary><c>drover upload</c>.</summary>
internal static class UploadCommand
{
    private static readonly Argument<string> Source = new("PATH") { Description = "A file or folder of this machine" };

    public static Command Build() => new Command("upload", """
        Put a file or folder into the object store, under its digest, and print its key. What is there already is not sent again.

        Example:
          drover upload corpus.jsonl
        """) { Source }.Does(async (context, parse) =>
        {
            string key = await new InputUploader(context).UploadAsync(parse.GetValue(Source)!).ConfigureAwait(false);
            context.Output.WriteLine(context.Json ? $$"""{"key":"{{key}}"}""" : key);
            return ExitCodes.Ok;
        });
}
