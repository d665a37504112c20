namespace Drover.Tokenization;

/// <summary>
/// Cuts text into the words that merge on their own. A struct without state, so that the loop over a text is compiled for it.
/// </summary>
internal interface IWordCutter
{
    /// <summary>Length in bytes of the word at the start of a text of valid UTF-8 that is not empty.</summary>
    int Next(ref byte text, int length);
}
