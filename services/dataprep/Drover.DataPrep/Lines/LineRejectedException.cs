namespace Drover.DataPrep.Lines;

/// <summary>A line that cannot become a document. It ends in the rejects file; the build goes on.</summary>
/// <param name="reason">A stable word for programs, one of <see cref="RejectReasons"/>.</param>
/// <param name="message">For a person: what is wrong with which field.</param>
internal sealed class LineRejectedException(string reason, string message) : Exception(message)
{
    public string Reason { get; } = reason;
}

/// <summary>Why lines, or parts of them, are not in the rows.</summary>
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

    /// <summary>The conversation is longer than a row and no label is left in what fits: rejected whole.</summary>
    public const string NoLabelInRow = "NO_LABEL_IN_ROW";

    /// <summary>The conversation is longer than a row: its head is in a row, the tokens counted here are not.</summary>
    public const string CutAtMaxLength = "CUT_AT_MAX_LENGTH";
}
