using Drover.DataPrep.Conversations;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Documents;

/// <summary>The reader for a spec's format.</summary>
internal static class DocumentReaders
{
    /// <summary>Makes it.</summary>
    /// <param name="spec">Complete.</param>
    /// <param name="tokenizer">Makes the ids.</param>
    /// <param name="chatTemplate">The tokenizer's own, where the spec wants it.</param>
    /// <exception cref="Errors.DroverException">FailedPrecondition when the tokenizer lacks what the spec wants of it.</exception>
    public static IDocumentReader Create(DatasetSpec spec, ITextTokenizer tokenizer, string chatTemplate) =>
        spec.Format == DatasetFormat.Sft ? new ConversationReader(tokenizer, spec, chatTemplate) : new PretrainReader(tokenizer, spec);
}
