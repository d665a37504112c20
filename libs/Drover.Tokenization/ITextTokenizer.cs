namespace Drover.Tokenization;

/// <summary>A loaded tokenizer. Immutable and safe to use from many threads.</summary>
public interface ITextTokenizer
{
    /// <summary>How text is cut.</summary>
    TokenizerFamily Family { get; }

    /// <summary>Number of ids, added tokens included: one more than the largest id.</summary>
    int VocabularySize { get; }

    /// <summary>Id of the token that begins a document, -1 when there is none.</summary>
    int BosId { get; }

    /// <summary>Id of the token that ends a document, -1 when there is none.</summary>
    int EosId { get; }

    /// <summary>Id of the padding token, -1 when there is none.</summary>
    int PadId { get; }

    /// <summary>Id of the unknown token, -1 when there is none.</summary>
    int UnkId { get; }

    /// <summary>SHA-256 over ids, pieces, kinds and merge order, lower-case hex.</summary>
    string ContentHash { get; }

    /// <summary>Ids of a text as SentencePiece or tiktoken gives them: no BOS, no EOS, and never a control token for text that looks like one.</summary>
    int[] Encode(string text);

    /// <summary>
    /// Ids of a text in which names of special tokens stand for these tokens, such as a chat template writes. Never for text of
    /// documents: whoever wrote them could then begin turns or end documents.
    /// </summary>
    int[] EncodeWithSpecialTokens(string text) => Encode(text);

    /// <summary>
    /// Appends the ids of a text to a buffer that is used again and again: the fastest way, without a string or an array per text.
    /// Bytes that are not UTF-8 are read as U+FFFD.
    /// </summary>
    void Encode(ReadOnlySpan<byte> utf8, TokenBuffer ids) => ids.Add(Encode(System.Text.Encoding.UTF8.GetString(utf8)));

    /// <summary>Text of ids. Bytes that are not UTF-8 become U+FFFD.</summary>
    /// <param name="ids">Ids of this vocabulary.</param>
    /// <param name="skipSpecialTokens">Leave special tokens out instead of writing their names.</param>
    /// <exception cref="Drover.Errors.DroverException">InvalidArgument for an id outside the vocabulary.</exception>
    string Decode(IReadOnlyList<int> ids, bool skipSpecialTokens);

    /// <summary>The piece as the vocabulary file writes it.</summary>
    /// <exception cref="Drover.Errors.DroverException">InvalidArgument for an id outside the vocabulary.</exception>
    string PieceOf(int id);

    /// <summary>Whether an id is a control or unknown token.</summary>
    bool IsSpecial(int id);
}
