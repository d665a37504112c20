using System.CommandLine;
using Drover.Cli.Inputs;
using Drover.Cli.Jobs;
using Drover.Protocol.Tokenizer.V1;

namespace Drover.Cli.Commands;

/// <summary><c>drover tokenizer</c>.</summary>
internal static class TokenizerCommands
{
    private static readonly Argument<string> Tokenizer = new("TOKENIZER") { Description = "A folder or file of this machine, or a reference such as tokenizers/my-tokenizer" };
    private static readonly Argument<string> Value = new("TEXT") { Description = "The text" };
    private static readonly Argument<string[]> Values = new("TEXT") { Description = "One or more texts", Arity = ArgumentArity.OneOrMore };
    private static readonly Argument<int[]> Ids = new("ID") { Description = "Token ids", Arity = ArgumentArity.OneOrMore };
    private static readonly Option<bool> Bos = new("--bos") { Description = "Begin with the BOS token" };
    private static readonly Option<bool> Eos = new("--eos") { Description = "End with the EOS token" };
    private static readonly Option<bool> SkipSpecial = new("--skip-special") { Description = "Leave special tokens out" };
    private static readonly Argument<string> Name = new("NAME") { Description = "Name of the new tokenizer: written to tokenizers/NAME" };
    private static readonly Option<string[]> Sources = new("--source") { Description = "JSONL file or folder; may be given again", Required = true, HelpName = "PATH" };
    private static readonly Option<int> VocabularySize = new("--vocabulary-size") { Description = "Number of ids, at least 300", Required = true };
    private static readonly Option<double> Coverage = new("--character-coverage") { Description = "Share of characters that get a piece of their own; 0 means 0.9995" };
    private static readonly Option<string> Base = new("--tokenizer") { Description = "The tokenizer to expand", Required = true, HelpName = "TOKENIZER" };
    private static readonly Option<string> Pieces = new("--pieces") { Description = "Piece list, one piece a line; or a vocabulary whose pieces are taken (.model, tokenizer.json, folder)", HelpName = "PATH", DefaultValueFactory = _ => "" };
    private static readonly Option<string[]> LearnFrom = new("--learn-from") { Description = "JSONL to learn pieces from; may be given again", HelpName = "PATH" };
    private static readonly Option<int> LearnCount = new("--count") { Description = "How many pieces to learn" };
    private static readonly Option<long> MinimumFrequency = new("--minimum-frequency") { Description = "How often a learnt piece must occur; 0 means 5" };
    private static readonly Option<string[]> Script = new("--script") { Description = "Take pieces of this script only, e.g. han, cyrillic; may be given again" };
    private static readonly Option<string[]> ReportOn = new("--report-on") { Description = "JSONL whose tokens are counted before and after; may be given again", HelpName = "PATH" };
    private static readonly Option<string> Expanded = new("--expanded") { Description = "A tokenizer that is expanded already: only the model is resized", HelpName = "TOKENIZER", DefaultValueFactory = _ => "" };
    private static readonly Argument<string> Messages = new("MESSAGES") { Description = "JSON array of messages, or @file that holds one" };
    private static readonly Option<bool> OpenTurn = new("--generation-prompt") { Description = "Open the assistant's turn at the end" };
    private static readonly Option<string> TemplateNames = new("--variables") { Description = "JSON object of more names for the template, e.g. {\"tools\": [...]}", DefaultValueFactory = _ => "" };
    private static readonly Option<bool> ParseSpecial = new("--special") { Description = "Names of special tokens stand for these tokens" };
    private static readonly Option<string> Model = new("--model") { Description = "Hugging Face model whose embeddings are resized: written to models/NAME", HelpName = "MODEL", DefaultValueFactory = _ => "" };
    private static readonly Option<int> PadTo = new("--pad-to-multiple") { Description = "Pad the embeddings' rows to a multiple of this" };
    private static readonly Option<EmbeddingInit> Init = EnumOption.Of(
        "--init",
        "How new rows begin",
        ("mean_of_subpieces", EmbeddingInit.MeanOfSubpieces),
        ("mean", EmbeddingInit.Mean),
        ("zeros", EmbeddingInit.Zeros),
        ("normal", EmbeddingInit.Normal));

    public static Command Build() => new("tokenizer", "Look into, learn and expand tokenizers.")
    {
        new Command("inspect", """
            Show what a tokenizer is.

            Example:
              drover tokenizer inspect ./llama
            """) { Tokenizer }.Does(InspectAsync),
        new Command("encode", """
            Turn text into token ids.

            Example:
              drover tokenizer encode ./llama "The quick brown fox" --bos
            """) { Tokenizer, Value, Bos, Eos, ParseSpecial }.Does(EncodeAsync),
        new Command("chat", """
            Write a conversation by the tokenizer's chat template.

            Example:
              drover tokenizer chat ./llama '[{"role": "user", "content": "Hi"}]' --generation-prompt
            """) { Tokenizer, Messages, OpenTurn, TemplateNames }.Does(ChatAsync),
        new Command("decode", """
            Turn token ids into text.

            Example:
              drover tokenizer decode ./llama 1 450 4996
            """) { Tokenizer, Ids, SkipSpecial }.Does(DecodeAsync),
        new Command("count", """
            Count the tokens of texts.

            Example:
              drover tokenizer count ./llama "one text" "another"
            """) { Tokenizer, Values }.Does(CountAsync),
        new Command("train", """
            Learn a new tokenizer from JSONL.

            Example:
              drover tokenizer train my-tokenizer --source corpus.jsonl --vocabulary-size 8000
            """) { Name, Sources, VocabularySize, Coverage, JobStart.Detach }.Does(TrainAsync),
        new Command("expand", """
            Add pieces to a tokenizer and, with --model, rows to the model's embeddings. The pieces are a list, those of another
            vocabulary, or learnt from text.

            Examples:
              drover tokenizer expand my-tokenizer --tokenizer ./llama --pieces pieces.txt --model ./llama
              drover tokenizer expand my-tokenizer --tokenizer ./llama --learn-from corpus.jsonl --count 4000 --script han
            """) { Name, Base, Pieces, LearnFrom, LearnCount, MinimumFrequency, Script, ReportOn, Expanded, Model, PadTo, Init, JobStart.Detach }.Does(ExpandAsync),
    };

    private static async Task<int> InspectAsync(CliContext context, ParseResult parse)
    {
        InspectTokenizerResponse answer = await context.Tokenizer.InspectTokenizerAsync(new InspectTokenizerRequest { Tokenizer = await ReferenceAsync(context, parse).ConfigureAwait(false) }, cancellationToken: context.Cancellation).ConfigureAwait(false);
        TokenizerInfo info = answer.Info;
        context.Write(info, () => $"{info.Family}, {Text.Count(info.VocabularySize)} ids, bos {info.BosId}, eos {info.EosId}, pad {info.PadId}, unk {info.UnkId}, content {info.ContentHash}");
        return ExitCodes.Ok;
    }

    private static async Task<int> EncodeAsync(CliContext context, ParseResult parse)
    {
        var request = new EncodeRequest { Tokenizer = await ReferenceAsync(context, parse).ConfigureAwait(false), Text = parse.GetValue(Value), AddBos = parse.GetValue(Bos), AddEos = parse.GetValue(Eos), ParseSpecialTokens = parse.GetValue(ParseSpecial) };
        EncodeResponse answer = await context.Tokenizer.EncodeAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
        context.Write(answer, () => string.Join(' ', answer.Ids));
        return ExitCodes.Ok;
    }

    private static async Task<int> ChatAsync(CliContext context, ParseResult parse)
    {
        string messages = parse.GetValue(Messages)!;
        var request = new ApplyChatTemplateRequest
        {
            Tokenizer = await ReferenceAsync(context, parse).ConfigureAwait(false),
            MessagesJson = messages.StartsWith('@') ? await File.ReadAllTextAsync(messages[1..], context.Cancellation).ConfigureAwait(false) : messages,
            AddGenerationPrompt = parse.GetValue(OpenTurn),
            VariablesJson = parse.GetValue(TemplateNames),
        };
        ApplyChatTemplateResponse answer = await context.Tokenizer.ApplyChatTemplateAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
        context.Write(answer, () => answer.Text);
        return ExitCodes.Ok;
    }

    private static async Task<int> DecodeAsync(CliContext context, ParseResult parse)
    {
        var request = new DecodeRequest { Tokenizer = await ReferenceAsync(context, parse).ConfigureAwait(false), Ids = { parse.GetValue(Ids) }, SkipSpecialTokens = parse.GetValue(SkipSpecial) };
        DecodeResponse answer = await context.Tokenizer.DecodeAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
        context.Write(answer, () => answer.Text);
        return ExitCodes.Ok;
    }

    private static async Task<int> CountAsync(CliContext context, ParseResult parse)
    {
        var request = new CountTokensRequest { Tokenizer = await ReferenceAsync(context, parse).ConfigureAwait(false), Texts = { parse.GetValue(Values) } };
        CountTokensResponse answer = await context.Tokenizer.CountTokensAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
        context.Write(answer, () => string.Join('\n', answer.Counts.Select(c => Text.Count(c)).Append($"{Text.Count(answer.TotalTokens)} tokens, {Text.Count(answer.TotalUtf8Bytes)} bytes in all")));
        return ExitCodes.Ok;
    }

    private static async Task<int> TrainAsync(CliContext context, ParseResult parse)
    {
        var spec = new TokenizerTrainingSpec { Name = parse.GetValue(Name), VocabularySize = parse.GetValue(VocabularySize), CharacterCoverage = parse.GetValue(Coverage) };
        spec.Sources.Add(await new InputUploader(context).ResolveAllAsync(parse.GetValue(Sources)!).ConfigureAwait(false));
        var request = new CreateTokenizerTrainingRequest { RequestId = JobStart.NewRequestId(), Spec = spec };
        TokenizerTraining training = (await context.Tokenizer.CreateTokenizerTrainingAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false)).Training;
        return await JobStart.FollowAsync(context, parse, new JobSources(context).TokenizerTrainings, training.Job, training, done => $"{done.Result.Tokenizer}: {Text.Count(done.Result.Info.VocabularySize)} ids").ConfigureAwait(false);
    }

    private static async Task<int> ExpandAsync(CliContext context, ParseResult parse)
    {
        var inputs = new InputUploader(context);
        var spec = new ExpansionSpec
        {
            Name = parse.GetValue(Name),
            BaseTokenizer = await inputs.ResolveAsync(parse.GetValue(Base)!).ConfigureAwait(false),
            Pieces = await inputs.ResolveAsync(parse.GetValue(Pieces)!).ConfigureAwait(false),
            BaseModel = await inputs.ResolveAsync(parse.GetValue(Model)!).ConfigureAwait(false),
            PadToMultiple = parse.GetValue(PadTo),
            EmbeddingInit = parse.GetValue(Init),
            ExpandedTokenizer = await inputs.ResolveAsync(parse.GetValue(Expanded)!).ConfigureAwait(false),
            Scripts = { parse.GetValue(Script) ?? [] },
            ReportSources = { await inputs.ResolveAllAsync(parse.GetValue(ReportOn) ?? []).ConfigureAwait(false) },
        };
        if (parse.GetValue(LearnFrom) is { Length: > 0 } learnFrom)
            spec.Learning = new LearningSpec { Sources = { await inputs.ResolveAllAsync(learnFrom).ConfigureAwait(false) }, Count = parse.GetValue(LearnCount), MinimumFrequency = parse.GetValue(MinimumFrequency) };
        Expansion expansion = (await context.Tokenizer.CreateExpansionAsync(new CreateExpansionRequest { RequestId = JobStart.NewRequestId(), Spec = spec }, cancellationToken: context.Cancellation).ConfigureAwait(false)).Expansion;
        return await JobStart.FollowAsync(context, parse, new JobSources(context).Expansions, expansion.Job, expansion, Describe).ConfigureAwait(false);
    }

    private static string Describe(Expansion expansion)
    {
        ExpansionResult made = expansion.Result;
        string model = made.Model.Length > 0 ? $", {made.Model} ({Text.Count(made.EmbeddingRows)} rows)" : "";
        string table = made.Report.Count == 0 ? "" : "\n" + FertilityTable.Of(made);
        return $"{made.Tokenizer}: {Text.Count(made.OldVocabularySize)} -> {Text.Count(made.NewVocabularySize)} ids, {made.PiecesAdded} pieces and {made.IntermediatePiecesAdded} intermediate ones added, {made.PiecesAlreadyKnown} known already, {made.RejectedPieces.Count} refused{model}{table}";
    }

    private static async Task<string> ReferenceAsync(CliContext context, ParseResult parse) =>
        await new InputUploader(context).ResolveAsync(parse.GetValue(Tokenizer)!).ConfigureAwait(false);
}
