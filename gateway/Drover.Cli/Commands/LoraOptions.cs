using System.CommandLine;
using Drover.Protocol.Trainer.V1;

namespace Drover.Cli.Commands;

/// <summary>Options of <c>drover train start</c> that train adapters beside a frozen model.</summary>
internal static class LoraOptions
{
    private static readonly Option<string?> Preset = new("--lora") { Description = "Train adapters beside the frozen model: lora (rank 16, alpha 32, all linear layers), rslora or dora; the options after it win", HelpName = "PRESET" };
    private static readonly Option<int> Rank = new("--lora-rank") { Description = "0 means the preset's" };
    private static readonly Option<double> Alpha = new("--lora-alpha") { Description = "The scale is alpha / rank; 0 means the preset's, or twice --lora-rank" };
    private static readonly Option<double> Dropout = new("--lora-dropout") { Description = "Part of the adapters' input that is dropped while training, 0 to 1" };
    private static readonly Option<string[]> Targets = new("--lora-target") { Description = "Modules with adapters, e.g. q_proj or 'model.layers.*.mlp.up_proj'; may be given again. Default: all linear layers", HelpName = "MODULE" };
    private static readonly Option<string[]> Save = new("--lora-save-module") { Description = "Modules trained whole beside the adapters, e.g. embed_tokens; may be given again", HelpName = "MODULE" };
    private static readonly Option<long> Rows = new("--lora-token-rows-from") { Description = "Train the rows of embeddings and head from this id on: the first new id after a vocabulary was expanded", HelpName = "ID" };
    private static readonly Option<string?> Adapter = new("--lora-adapter") { Description = "Go on from a PEFT adapter: a folder, or a reference like models/my-adapter", HelpName = "ADAPTER" };

    /// <summary>All of them.</summary>
    public static IEnumerable<Option> All => [Preset, Rank, Alpha, Dropout, Targets, Save, Rows, Adapter];

    /// <summary>What was given; null for no LoRA.</summary>
    public static LoraSpec? Read(ParseResult parse)
    {
        var spec = new LoraSpec
        {
            Preset = parse.GetValue(Preset) ?? "",
            Rank = parse.GetValue(Rank),
            Alpha = parse.GetValue(Alpha),
            Dropout = parse.GetValue(Dropout),
            Targets = { parse.GetValue(Targets) ?? [] },
            ModulesToSave = { parse.GetValue(Save) ?? [] },
            TokenRowsFrom = parse.GetValue(Rows),
            Adapter = parse.GetValue(Adapter) ?? "",
        };
        return spec.CalculateSize() > 0 ? spec : null;
    }
}
