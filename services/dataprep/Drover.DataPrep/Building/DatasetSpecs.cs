using Drover.DataPrep.Conversations;
using Drover.Protocol.DataPrep.V1;
using Google.Protobuf;

namespace Drover.DataPrep.Building;

/// <summary>Specs with everything said that they left open, so that a plan does not depend on what defaults are later.</summary>
internal static class DatasetSpecs
{
    /// <summary>Input bytes of a task when the spec says nothing.</summary>
    public const long DefaultTaskBytes = 64 << 20;

    /// <summary>The seed's own.</summary>
    public const int DefaultBins = 10;

    /// <summary>The same spec with its defaults filled in.</summary>
    public static DatasetSpec Complete(DatasetSpec spec)
    {
        DatasetSpec full = spec.Clone();
        if (full.TaskBytes == 0)
            full.TaskBytes = DefaultTaskBytes;
        if (full.Packing == Packing.Unspecified)
            full.Packing = Packing.BestFit;
        if (full.TextUnit == TextUnit.Unspecified)
            full.TextUnit = TextUnit.File;
        if (full.Packing == Packing.Seed && full.NumSplicedDatasetBins == 0)
            full.NumSplicedDatasetBins = DefaultBins;
        if (full.Format == DatasetFormat.Sft)
        {
            if (full.ConversationTemplate.Length == 0)
                full.ConversationTemplate = ConversationTemplates.Default;
            if (full.LossOn == LossOn.Unspecified)
                full.LossOn = LossOn.Assistant;
            if (full.Truncation == Truncation.Unspecified)
                full.Truncation = Truncation.CutEnd;
        }
        else
        {
            full.Bos = full.Bos == EdgeToken.Unspecified ? EdgeToken.IfKnown : full.Bos;
            full.Eos = full.Eos == EdgeToken.Unspecified ? EdgeToken.IfKnown : full.Eos;
        }

        return full;
    }

    /// <summary>The spec as JSON: the same spec gives the same text.</summary>
    public static string ToJson(DatasetSpec spec) => JsonFormatter.Default.Format(spec);

    /// <summary>What must be the same in a spec and in that of the dataset it extends.</summary>
    public static DatasetSpec Rules(DatasetSpec spec)
    {
        DatasetSpec rules = spec.Clone();
        rules.Name = rules.Extends = "";
        rules.Sources.Clear();
        return rules;
    }
}
