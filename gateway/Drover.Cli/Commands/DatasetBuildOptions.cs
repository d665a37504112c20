using System.CommandLine;
using Drover.Errors;
using Drover.Protocol.DataPrep.V1;
using Google.Protobuf.Reflection;

namespace Drover.Cli.Commands;

/// <summary>Options of <c>drover dataset build</c> that say what is read and what becomes of it.</summary>
internal static class DatasetBuildOptions
{
    private static readonly Option<string> Template = new("--template") { Description = "For conversations: llama2, llama3, chatml, colossal-llama2, colossal-llama3, plain or tokenizer (its own chat template); empty means llama2", DefaultValueFactory = _ => "", HelpName = "TEMPLATE" };
    private static readonly Option<LossOn> Loss = EnumOption.Of("--loss-on", "For conversations, what carries loss", ("assistant", LossOn.Assistant), ("last-turn", LossOn.LastTurn), ("all", LossOn.All));
    private static readonly Option<Truncation> Longer = EnumOption.Of(
        "--truncation", "For conversations longer than a row", ("cut-end", Truncation.CutEnd), ("drop-last-turns", Truncation.DropLastTurns), ("drop-first-turns", Truncation.DropFirstTurns), ("reject", Truncation.Reject));
    private static readonly Option<Packing> Pack = EnumOption.Of("--packing", "How documents share rows", ("best-fit", Packing.BestFit), ("one-per-row", Packing.OnePerRow), ("seed", Packing.Seed));
    private static readonly Option<int> Bins = new("--num-spliced-dataset-bins") { Description = "Of --packing seed: parts that are packed alone; 0 means 10", HelpName = "BINS" };
    private static readonly Option<TextUnit> Unit = EnumOption.Of("--text-unit", "What a document is in .txt files", ("file", TextUnit.File), ("paragraph", TextUnit.Paragraph), ("line", TextUnit.Line));
    private static readonly Option<EdgeToken> Bos = EdgeOption("--bos", "BOS before a document");
    private static readonly Option<EdgeToken> Eos = EdgeOption("--eos", "EOS after a document");
    private static readonly Option<string[]> Fields = new("--field") { Description = "Name of a field, e.g. text=content or category=meta.source; may be given again", HelpName = "NAME=FIELD" };
    private static readonly Option<bool> Exact = new("--drop-duplicates") { Description = "Leave out documents whose text was there before" };
    private static readonly Option<double> Near = new("--drop-near-duplicates") { Description = "Leave out documents this similar to one before, 0.3 to 1; 0.8 is usual", HelpName = "SIMILARITY" };
    private static readonly Option<int> MinCharacters = new("--min-characters") { Description = "Leave out shorter documents", HelpName = "COUNT" };
    private static readonly Option<int> MaxCharacters = new("--max-characters") { Description = "Leave out longer documents", HelpName = "COUNT" };
    private static readonly Option<double> WordRatio = new("--min-word-character-ratio") { Description = "Least share of letters and digits, 0 to 1", HelpName = "RATIO" };
    private static readonly Option<double> DigitRatio = new("--max-digit-ratio") { Description = "Largest share of digits, 0 to 1", HelpName = "RATIO" };
    private static readonly Option<double> RepeatedRatio = new("--max-repeated-line-ratio") { Description = "Largest share of lines that were there before in the document, 0 to 1", HelpName = "RATIO" };
    private static readonly Option<string[]> Languages = new("--language") { Description = "Leave out documents of other languages; may be given again", HelpName = "CODE" };
    private static readonly Option<bool> KeepText = new("--keep-rejected-text") { Description = "Write the text of what is left out into the rejects files" };
    private static readonly Option<string> Extends = new("--extends") { Description = "A dataset whose rows this one begins with; --source names what is new", DefaultValueFactory = _ => "", HelpName = "DATASET" };
    private static readonly Option<long> TaskBytes = new("--task-bytes") { Description = "Input bytes of a task; 0 means 64 MiB", HelpName = "BYTES" };

    /// <summary>All of them.</summary>
    public static IEnumerable<Option> All =>
    [
        Template, Loss, Longer, Pack, Bins, Unit, Bos, Eos, Fields, Exact, Near, MinCharacters, MaxCharacters, WordRatio, DigitRatio, RepeatedRatio,
        Languages, KeepText, Extends, TaskBytes,
    ];

    /// <summary>Puts what was given into a spec.</summary>
    /// <exception cref="DroverException">InvalidArgument for a field that has no such name.</exception>
    public static void Fill(DatasetSpec spec, ParseResult parse)
    {
        spec.ConversationTemplate = parse.GetValue(Template);
        spec.LossOn = parse.GetValue(Loss);
        spec.Truncation = parse.GetValue(Longer);
        spec.Packing = parse.GetValue(Pack);
        spec.NumSplicedDatasetBins = parse.GetValue(Bins);
        spec.TextUnit = parse.GetValue(Unit);
        spec.Bos = parse.GetValue(Bos);
        spec.Eos = parse.GetValue(Eos);
        spec.KeepRejectedText = parse.GetValue(KeepText);
        spec.Extends = DatasetReference.Of(parse.GetValue(Extends)!);
        spec.TaskBytes = parse.GetValue(TaskBytes);
        spec.Fields = FieldsOf(parse.GetValue(Fields) ?? []);
        var duplicates = new Deduplication { Exact = parse.GetValue(Exact), NearThreshold = parse.GetValue(Near) };
        spec.Deduplication = duplicates.CalculateSize() > 0 ? duplicates : null;
        var filters = new QualityFilters
        {
            MinCharacters = parse.GetValue(MinCharacters),
            MaxCharacters = parse.GetValue(MaxCharacters),
            MinWordCharacterRatio = parse.GetValue(WordRatio),
            MaxDigitRatio = parse.GetValue(DigitRatio),
            MaxRepeatedLineRatio = parse.GetValue(RepeatedRatio),
            Languages = { parse.GetValue(Languages) ?? [] },
        };
        spec.Filters = filters.CalculateSize() > 0 ? filters : null;
    }

    private static Option<EdgeToken> EdgeOption(string name, string what) =>
        EnumOption.Of(name, what, ("if-known", EdgeToken.IfKnown), ("always", EdgeToken.Always), ("never", EdgeToken.Never));

    private static FieldNames? FieldsOf(string[] given)
    {
        var names = new FieldNames();
        foreach (string pair in given)
        {
            int equals = pair.IndexOf('=', StringComparison.Ordinal);
            FieldDescriptor? field = FieldNames.Descriptor.FindFieldByName(equals < 0 ? "" : pair[..equals]);
            if (field is null || equals == pair.Length - 1)
                throw new DroverException(FailureCode.InvalidArgument, "INVALID_FIELD", $"--field '{pair}' is not NAME=FIELD with a NAME of {string.Join(", ", FieldNames.Descriptor.Fields.InFieldNumberOrder().Select(f => f.Name))}.");
            field.Accessor.SetValue(names, pair[(equals + 1)..]);
        }

        return given.Length > 0 ? names : null;
    }
}

/// <summary>References of datasets as users write them.</summary>
internal static class DatasetReference
{
    /// <summary>"datasets/" may be left out.</summary>
    public static string Of(string given) => given.Length == 0 || given.Contains('/') ? given : "datasets/" + given;
}
