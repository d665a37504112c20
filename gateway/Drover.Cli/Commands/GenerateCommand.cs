using System.CommandLine;
using System.Globalization;
using Drover.Cli.Inputs;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;

namespace Drover.Cli.Commands;

/// <summary><c>drover generate</c>.</summary>
internal static class GenerateCommand
{
    private static readonly Argument<string> Model = new("MODEL") { Description = "A model (my-model, models/my-model, a Hugging Face folder of this machine), a run (runs/my-run: its newest checkpoint; runs/my-run/best) or a checkpoint" };
    private static readonly Argument<string[]> Prompts = new("PROMPT") { Description = "Texts to continue; standard input where there is none", Arity = ArgumentArity.ZeroOrMore };
    private static readonly Option<int> MaxNewTokens = new("--max-new-tokens") { Description = "Tokens of a continuation at most; 0 means 64" };
    private static readonly Option<double?> Temperature = new("--temperature") { Description = "0 takes the most probable token each time, which is the default where nothing below is given; else 1" };
    private static readonly Option<int> TopK = new("--top-k") { Description = "Draw among so many of the most probable tokens" };
    private static readonly Option<double?> TopP = new("--top-p") { Description = "Draw among the most probable tokens that make up this mass" };
    private static readonly Option<double> MinP = new("--min-p") { Description = "Draw among tokens at least this times as probable as the most probable" };
    private static readonly Option<double?> RepetitionPenalty = new("--repetition-penalty") { Description = "More than 1: tokens of the text become less likely" };
    private static readonly Option<long?> Seed = new("--seed") { Description = "The same seed gives the same text" };
    private static readonly Option<string[]> Stop = new("--stop") { Description = "End before this text; may be given several times", HelpName = "TEXT" };
    private static readonly Option<int[]> StopIds = new("--stop-id") { Description = "End before this token; may be given several times", HelpName = "ID" };
    private static readonly Option<bool> IgnoreEnd = new("--ignore-end") { Description = "Go on where the model would end the text" };
    private static readonly Option<string> Tokenizer = new("--tokenizer") { Description = "Folder or reference of the tokenizer; default: the model's, or the one that the run names" };
    private static readonly Option<Precision> PrecisionOption = EnumOption.Of("--precision", "Type of the weights in compute", ("fp32", Precision.Fp32), ("bf16", Precision.Bf16));

    public static Command Build() => new Command("generate", """
        Continue texts with a model, a run or a checkpoint. One text is written as it comes.

        Examples:
          drover generate my-model "Once upon a time"
          drover generate runs/my-run "春天" --temperature 0.8 --top-p 0.95 --seed 7
          cat prompt.txt | drover generate my-model --max-new-tokens 200 --stop "Question:"
        """) { Model, Prompts, MaxNewTokens, Temperature, TopK, TopP, MinP, RepetitionPenalty, Seed, Stop, StopIds, IgnoreEnd, Tokenizer, PrecisionOption }.Does(RunAsync);

    private static async Task<int> RunAsync(CliContext context, ParseResult parse)
    {
        GenerateTextRequest request = await RequestAsync(context, parse).ConfigureAwait(false);
        if (context.Json || request.Prompts.Count > 1)
        {
            GenerateTextResponse answer = await context.Trainer.GenerateTextAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
            context.Write(answer, () => string.Join("\n\n", answer.Continuations.Select((c, i) => request.Prompts[i] + c.Text)));
            return ExitCodes.Ok;
        }

        await WriteAsItComesAsync(context, request).ConfigureAwait(false);
        return ExitCodes.Ok;
    }

    private static async Task WriteAsItComesAsync(CliContext context, GenerateTextRequest request)
    {
        using AsyncServerStreamingCall<StreamTextResponse> call = context.Trainer.StreamText(new StreamTextRequest { Generate = request }, cancellationToken: context.Cancellation);
        bool begun = false;
        await foreach (StreamTextResponse response in call.ResponseStream.ReadAllAsync(context.Cancellation).ConfigureAwait(false))
        {
            // The prompt stands before its continuation, and not before an error.
            if (!begun)
                await context.Output.WriteAsync(request.Prompts[0]).ConfigureAwait(false);
            begun = true;
            await context.Output.WriteAsync(response.Piece?.Text).ConfigureAwait(false);
            await context.Output.FlushAsync(context.Cancellation).ConfigureAwait(false);
            if (response.Statistics is { } statistics)
            {
                await context.Output.WriteLineAsync().ConfigureAwait(false);
                if (context.IsInteractive)
                    await context.Error.WriteLineAsync(Describe(statistics)).ConfigureAwait(false);
            }
        }
    }

    private static string Describe(TextStatistics statistics)
    {
        string seed = statistics.Seed == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $", seed {statistics.Seed}");
        return string.Create(CultureInfo.InvariantCulture, $"{statistics.NewTokens} tokens in {statistics.Seconds:0.0} s ({statistics.NewTokens / Math.Max(statistics.Seconds, 1e-3):0.0} a second){seed}");
    }

    private static async Task<GenerateTextRequest> RequestAsync(CliContext context, ParseResult parse)
    {
        var uploader = new InputUploader(context);
        string[] prompts = parse.GetValue(Prompts) is { Length: > 0 } given ? given : [(await Console.In.ReadToEndAsync(context.Cancellation).ConfigureAwait(false)).TrimEnd('\n', '\r')];
        string model = await uploader.ResolveAsync(parse.GetValue(Model)!).ConfigureAwait(false);
        return new GenerateTextRequest
        {
            // A bare name is a model of the store, unless there is such a folder here.
            Model = model.Contains('/') ? model : "models/" + model,
            Prompts = { prompts },
            MaxNewTokens = parse.GetValue(MaxNewTokens),
            Sampling = SamplingOf(parse),
            StopIds = { parse.GetValue(StopIds) ?? [] },
            StopStrings = { parse.GetValue(Stop) ?? [] },
            Tokenizer = parse.GetValue(Tokenizer) is { Length: > 0 } tokenizer ? await uploader.ResolveAsync(tokenizer).ConfigureAwait(false) : "",
            Precision = parse.GetValue(PrecisionOption),
            IgnoreEndOfText = parse.GetValue(IgnoreEnd),
        };
    }

    private static SamplingSpec SamplingOf(ParseResult parse)
    {
        var sampling = new SamplingSpec { TopK = parse.GetValue(TopK), MinP = parse.GetValue(MinP) };
        if (parse.GetValue(Temperature) is { } temperature)
            sampling.Temperature = temperature;
        if (parse.GetValue(TopP) is { } topP)
            sampling.TopP = topP;
        if (parse.GetValue(RepetitionPenalty) is { } penalty)
            sampling.RepetitionPenalty = penalty;
        if (parse.GetValue(Seed) is { } seed)
            sampling.Seed = seed;
        return sampling;
    }
}
