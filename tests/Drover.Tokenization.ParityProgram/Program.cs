using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Drover.ObjectStore;
using Drover.Tokenization;
using Drover.Tokenization.Expansion;
using Drover.Tokenization.ParityProgram;

// Compares with the reference libraries, together with tests/goldens/tokenizer_parity.py, which reads what this writes.
//   write BASE PIECES FOLDER         expands the tokenizer BASE (a folder) by the pieces of the list or vocabulary PIECES ('-': not at all) and writes all files
//   generate BASE SEED COUNT FILE    writes texts, a JSON string a line
//   encode BASE TEXTS FILE           writes the ids of each text: their number and they themselves, as int32
var cancellation = CancellationToken.None;
switch (args)
{
    case ["write", string from, string pieces, string to]:
        {
            Vocabulary written = await ReadAsync(from);
            if (pieces != "-")
            {
                ExpandedVocabulary expanded = VocabularyExpander.Expand(written, DonorVocabulary.IsVocabulary(pieces) ? DonorVocabulary.Parse(await File.ReadAllBytesAsync(pieces), pieces) : PieceList.Parse(await File.ReadAllTextAsync(pieces), pieces), cancellation);
                Console.WriteLine($"{expanded.Added} added, {expanded.Intermediate} intermediate, {expanded.Known} known, {expanded.Rejected.Count} refused");
                written = expanded.Vocabulary;
            }

            await TokenizerFiles.WriteAsync(StoreOf(to), Path.GetFileName(to), written, null, cancellation);
            return 0;
        }

    case ["generate", string from, string seed, string count, string file]:
        {
            ITextTokenizer tokenizer = TokenizerFolder.Create(await ReadAsync(from));
            string[] pieces = [.. Enumerable.Range(0, tokenizer.VocabularySize).Select(id => tokenizer.Decode([id], skipSpecialTokens: true)).Where(p => p.Length > 0 && !p.Contains('\uFFFD'))];
            var texts = new GeneratedTexts(int.Parse(seed, CultureInfo.InvariantCulture), pieces);
            await using var writer = new StreamWriter(file);
            for (int i = int.Parse(count, CultureInfo.InvariantCulture); i > 0; i--)
                await writer.WriteLineAsync(JsonSerializer.Serialize(texts.Next()));
            return 0;
        }

    case ["encode", string from, string texts, string file]:
        {
            Vocabulary vocabulary = await ReadAsync(from);
            ITextTokenizer tokenizer = TokenizerFolder.Create(vocabulary);
            await using FileStream ids = File.Create(file);
            var buffer = new TokenBuffer();
            foreach (string line in File.ReadLines(texts))
            {
                buffer.Clear();
                string text = JsonSerializer.Deserialize<string>(line)!;
                tokenizer.Encode(Encoding.UTF8.GetBytes(text), buffer);
                ids.Write(BitConverter.GetBytes(buffer.Count));
                ids.Write(MemoryMarshal.AsBytes(buffer.Ids));
                // A normalizer does not promise that text comes back.
                if (!vocabulary.NormalizesToC && tokenizer.Decode(buffer.ToArray(), skipSpecialTokens: true) != text.Replace('▁', tokenizer.Family == TokenizerFamily.SentencePieceBpe ? ' ' : '▁'))
                    throw new InvalidOperationException($"Does not come back as it was: {line}");
            }

            return 0;
        }

    default:
        Console.Error.WriteLine("usage: write BASE PIECES FOLDER | generate BASE SEED COUNT FILE | encode BASE TEXTS FILE");
        return 2;
}

Task<Vocabulary> ReadAsync(string folder) => TokenizerFolder.ReadAsync(StoreOf(folder), Path.GetFileName(folder), cancellation);

static FolderObjectStore StoreOf(string folder) => new(Path.GetDirectoryName(Path.GetFullPath(folder))!);
