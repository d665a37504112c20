using System.CommandLine;
using Drover.Cli.Models;
using Drover.Protocol.Checkpoint.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover pull</c>.</summary>
internal static class PullCommand
{
    private static readonly Argument<string> Model = new("MODEL") { Description = "The model, e.g. models/my-model (\"models/\" may be left out)" };
    private static readonly Argument<string> Folder = new("DIR") { Description = "The folder to put its files into" };

    public static Command Build() => new Command("pull", """
        Fetch a model as a Hugging Face folder. A broken pull goes on where it was; a second pull fetches nothing.

        Example:
          drover pull models/my-model ./my-model
        """) { Model, Folder }.Does(async (context, parse) =>
        {
            string name = parse.GetValue(Model)!;
            if (!name.Contains('/'))
                name = "models/" + name;
            string folder = parse.GetValue(Folder)!;
            var puller = new ModelPuller(context.Checkpoint, context.Cancellation);
            Model? model = null;
            long fetched = 0;
            if (context.IsInteractive)
            {
                await context.Terminal.Progress().Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new DownloadedColumn(), new TransferSpeedColumn(), new RemainingTimeColumn()).StartAsync(async bars =>
                {
                    ProgressTask bar = bars.AddTask($"pull {name.EscapeMarkup()}");
                    (model, fetched) = await puller.PullAsync(name, folder, (_, total) => bar.MaxValue = Math.Max(1, total), bytes => bar.Increment(bytes)).ConfigureAwait(false);
                    bar.Value = bar.MaxValue;
                }).ConfigureAwait(false);
            }
            else
            {
                (model, fetched) = await puller.PullAsync(name, folder, (_, _) => { }, _ => { }).ConfigureAwait(false);
            }

            context.Write(model!, () => $"{folder}: {model!.Files.Count} files, {Text.Bytes(model.SizeBytes)}, {Text.Bytes(fetched)} fetched");
            return ExitCodes.Ok;
        });
}
