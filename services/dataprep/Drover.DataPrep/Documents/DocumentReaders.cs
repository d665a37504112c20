using Drover.DataPrep.Conversations;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Documents;

/// <summary>The reader for a spec's format.</summary>
internal static class DocumentReaders
{
    /// <summary>Makes it.</summary>
    /// <exception cref="Errors.DroverException">FailedPrecondition when the tokenizer lacks what the spec wants of it.</exception>
    public static IDocumentReader Create(DatasetSpec spec, ITextTokenizer tokenizer) =>
        spec.Format == DatasetFormat.Sft ? new ConversationReader(tokenizer, spec) : new PretrainReader(tokenizer, spec);
}
