using Drover.Protocol.Tokenizer.V1;
using Drover.Tokenization;

namespace Drover.Tokenizer;

/// <summary>A tokenizer as the API tells of it.</summary>
internal static class TokenizerInfos
{
    public static TokenizerInfo Of(ITextTokenizer tokenizer) => new()
    {
        Family = (TokenizerInfo.Types.Family)tokenizer.Family,
        VocabularySize = tokenizer.VocabularySize,
        BosId = tokenizer.BosId,
        EosId = tokenizer.EosId,
        PadId = tokenizer.PadId,
        UnkId = tokenizer.UnkId,
        ContentHash = tokenizer.ContentHash,
    };
}
