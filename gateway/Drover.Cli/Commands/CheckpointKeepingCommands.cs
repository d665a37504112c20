using System.CommandLine;
using System.Globalization;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;

namespace Drover.Cli.Commands;

/// <summary>Those of <c>drover checkpoint</c> that say which checkpoints stay: tag, untag, keep, delete, gc; and diff.</summary>
internal static class CheckpointKeepingCommands
{
    private static readonly Argument<string> Checkpoint = new("CHECKPOINT") { Description = "E.g. runs/my-run/checkpoints/step-00000100" };
    private static readonly Argument<string> Second = new("OTHER") { Description = "The checkpoint that it is compared with" };
    private static readonly Argument<string> Tag = new("TAG") { Description = "A name, e.g. v1.0" };
    private static readonly Argument<string> Run = new("RUN") { Description = "The run, e.g. my-run" };
    private static readonly Option<string> OfRun = new("--run") { Description = "Only of this run", HelpName = "RUN", DefaultValueFactory = _ => "" };
    private static readonly Option<int> Last = new("--last") { Description = "The newest N stay; 0: all", HelpName = "N" };
    private static readonly Option<long> Every = new("--every") { Description = "Those whose step is a multiple of N stay too", HelpName = "N" };
    private static readonly Option<bool> Values = new("--values") { Description = "Read both whole and compare every tensor" };
    private static readonly Option<bool> Unpublished = new("--unpublished") { Description = "Also what may be a save under way: only while nothing is trained" };
    private static readonly Option<long> LeftoverAge = new("--leftover-age") { Description = "Uploads that have not grown for so many seconds are dead; 0 means a day", HelpName = "SECONDS" };

    /// <summary>Tells what would happen, and changes nothing.</summary>
    public static Option<bool> DryRun { get; } = new("--dry-run") { Description = "Tell what would be removed, and remove nothing" };

    public static IEnumerable<Command> Build() =>
    [
        new Command("tag", """
            Give a checkpoint a name. It then stays whatever 'keep' says, and the name is a revision for Hugging Face clients.

            Example:
              drover checkpoint tag runs/my-run/checkpoints/step-00000100 v1.0
            """) { Checkpoint, Tag }.Does(async (context, parse) =>
            {
                var request = new TagCheckpointRequest { Checkpoint = parse.GetValue(Checkpoint), Tag = parse.GetValue(Tag) };
                TagCheckpointResponse answer = await context.Checkpoint.TagCheckpointAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
                context.Write(answer, () => $"{answer.Checkpoint.Name}: {string.Join(", ", answer.Checkpoint.Tags)}");
                return ExitCodes.Ok;
            }),
        new Command("untag", """
            Take a name off.

            Example:
              drover checkpoint untag my-run v1.0
            """) { Run, Tag }.Does(async (context, parse) =>
            {
                var request = new UntagCheckpointRequest { Run = parse.GetValue(Run), Tag = parse.GetValue(Tag) };
                context.Write(await context.Checkpoint.UntagCheckpointAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false), () => $"{request.Run} has no tag {request.Tag} now");
                return ExitCodes.Ok;
            }),
        new Command("keep", """
            Say which checkpoints of a run stay, now and after each new one: the newest, every n-th. The latest, the best on held-out data, those
            with a tag and those that other runs began from stay in any case.

            Examples:
              drover checkpoint keep my-run --last 3 --every 1000 --dry-run
              drover checkpoint keep my-run --last 0      (all of them again)
            """) { Run, Last, Every, DryRun }.Does(async (context, parse) =>
            {
                var request = new SetRetentionRequest { Run = parse.GetValue(Run), DryRun = parse.GetValue(DryRun), Retention = new RetentionSpec { KeepLast = parse.GetValue(Last), KeepEverySteps = parse.GetValue(Every) } };
                SetRetentionResponse answer = await context.Checkpoint.SetRetentionAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
                return RemovalText.Write(context, answer, answer.Removal, request.DryRun);
            }),
        new Command("delete", """
            Remove a checkpoint; refused while a tag or another run holds it.

            Example:
              drover checkpoint delete runs/my-run/checkpoints/step-00000100 --dry-run
            """) { Checkpoint, DryRun }.Does(async (context, parse) =>
            {
                var request = new DeleteCheckpointRequest { Name = parse.GetValue(Checkpoint), DryRun = parse.GetValue(DryRun) };
                DeleteCheckpointResponse answer = await context.Checkpoint.DeleteCheckpointAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
                return RemovalText.Write(context, answer, answer.Removal, request.DryRun);
            }),
        new Command("gc", """
            Remove what crashes left and no manifest names. Checkpoints are never touched.

            Example:
              drover checkpoint gc --dry-run
            """) { OfRun, DryRun, Unpublished, LeftoverAge }.Does(async (context, parse) =>
            {
                var request = new CollectGarbageRequest { Run = parse.GetValue(OfRun), DryRun = parse.GetValue(DryRun), IncludeUnpublished = parse.GetValue(Unpublished), LeftoverAgeSeconds = parse.GetValue(LeftoverAge) };
                CollectGarbageResponse answer = await context.Checkpoint.CollectGarbageAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
                return RemovalText.Write(context, answer, answer.Removal, request.DryRun);
            }),
        new Command("diff", """
            What differs between two checkpoints: spec, data, counts, shapes; with --values also by how much each tensor changed.

            Example:
              drover checkpoint diff runs/my-run/checkpoints/step-00000100 runs/my-run/checkpoints/step-00000200 --values
            """) { Checkpoint, Second, Values }.Does(DiffAsync),
    ];

    private static async Task<int> DiffAsync(CliContext context, ParseResult parse)
    {
        var request = new DiffCheckpointsRequest { First = parse.GetValue(Checkpoint), Second = parse.GetValue(Second), CompareValues = parse.GetValue(Values) };
        DiffCheckpointsResponse answer = await context.Checkpoint.DiffCheckpointsAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
        context.Write(answer, () => string.Join('\n',
        [
            .. answer.Fields.Select(f => $"{f.Field}: {Or(f.First)} -> {Or(f.Second)}"),
            .. answer.Tensors.Select(t => $"{t.Kind}/{t.Name}: {Change(t)}"),
            $"{answer.EqualTensors} tensors are {(request.CompareValues ? "equal" : "of the same shapes; --values compares them")}",
        ]));
        return ExitCodes.Ok;
    }

    private static string Or(string value) => value.Length == 0 ? "(none)" : value;

    private static string Change(TensorDifference tensor) => (tensor.FirstShape.Count, tensor.SecondShape.Count) switch
    {
        (_, 0) => "only in the first",
        (0, _) => "only in the second",
        _ when !tensor.FirstShape.Equals(tensor.SecondShape) => $"[{string.Join(", ", tensor.FirstShape)}] -> [{string.Join(", ", tensor.SecondShape)}]",
        _ => string.Create(CultureInfo.InvariantCulture, $"{tensor.RelativeNorm:P3} of its norm, {tensor.Largest:G4} at most"),
    };
}
