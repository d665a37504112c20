namespace Drover.DataPrep.Documents;

/// <summary>A record that cannot become a document. It ends in the rejects file; the build goes on.</summary>
/// <param name="reason">A stable word for programs, one of <see cref="RejectReasons"/>.</param>
/// <param name="message">For a person: what is wrong with which field.</param>
internal sealed class RejectedException(string reason, string message) : Exception(message)
{
    public string Reason { get; } = reason;
}

/// <summary>Why records, or parts of them, are not in the rows.</summary>
internal static class RejectReasons
{
    public const string InvalidUtf8 = "INVALID_UTF8";
    public const string MalformedJson = "MALFORMED_JSON";
    public const string MissingField = "MISSING_FIELD";
    public const string WrongType = "WRONG_TYPE";
    public const string EmptyText = "EMPTY_TEXT";
    public const string AmbiguousFields = "AMBIGUOUS_FIELDS";
    public const string UnknownRole = "UNKNOWN_ROLE";
    public const string TurnOrder = "TURN_ORDER";
    public const string NoAssistantTurn = "NO_ASSISTANT_TURN";

    /// <summary>The tokenizer's chat template refuses the conversation.</summary>
    public const string TemplateRefused = "TEMPLATE_REFUSED";

    /// <summary>The record is larger than what is held in memory.</summary>
    public const string TooLong = "TOO_LONG";

    /// <summary>A compressed or Parquet file is damaged from here on.</summary>
    public const string DamagedFile = "DAMAGED_FILE";

    /// <summary>The conversation is longer than a row and no label is left in what fits: rejected whole.</summary>
    public const string NoLabelInRow = "NO_LABEL_IN_ROW";

    /// <summary>The conversation is longer than a row: a part is in a row, the tokens counted here are not.</summary>
    public const string CutAtMaxLength = "CUT_AT_MAX_LENGTH";

    /// <summary>The conversation is longer than a row, and the spec wants such ones out.</summary>
    public const string LongerThanRow = "LONGER_THAN_ROW";

    /// <summary>The text was in a document before.</summary>
    public const string Duplicate = "DUPLICATE";

    /// <summary>The text is nearly that of a document before.</summary>
    public const string NearDuplicate = "NEAR_DUPLICATE";

    /// <summary>Of <see cref="Protocol.DataPrep.V1.Packing.Seed"/>: what the seed cuts off documents longer than a row.</summary>
    public const string SeedTruncated = "SEED_TRUNCATED";

    /// <summary>Of <see cref="Protocol.DataPrep.V1.Packing.Seed"/>: documents in the open row that the seed drops with each buffer.</summary>
    public const string SeedDroppedRow = "SEED_DROPPED_ROW";
}
