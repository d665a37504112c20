namespace Drover.Tokenization;

/// <summary>The two ways LLaMA models cut text; the numbers are those of the tokenizer proto.</summary>
public enum TokenizerFamily
{
    /// <summary>SentencePiece BPE over characters with byte fallback (LLaMA 1 and 2).</summary>
    SentencePieceBpe = 1,

    /// <summary>BPE over bytes after a split by a pattern (LLaMA 3).</summary>
    ByteLevelBpe = 2,
}
