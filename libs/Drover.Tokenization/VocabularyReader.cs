using System.Text.Json;
using Drover.Errors;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;

namespace Drover.Tokenization;

/// <summary>Makes a <see cref="Vocabulary"/> of each kind of file.</summary>
internal static class VocabularyReader
{
    private static readonly string[] BosNames = ["<|begin_of_text|>", "<s>"];
    private static readonly string[] EosNames = ["<|end_of_text|>", "</s>"];

    public static Vocabulary FromSentencePiece(SentencePieceModel model) => new()
    {
        Family = TokenizerFamily.SentencePieceBpe,
        Pieces = model.Pieces,
        Merges = Vocabulary.MergesOf(model.Pieces),
        Prefix = model.AddDummyPrefix ? DummyPrefix.Always : DummyPrefix.None,
        BosId = model.BosId,
        EosId = model.EosId,
        PadId = model.PadId,
        UnkId = model.UnkId,
        Source = model,
    };

    public static Vocabulary FromRanks(byte[][] ranks)
    {
        var pieces = new List<SentencePiece>(ranks.Length + TiktokenRanks.SpecialTokenCount);
        foreach (byte[] token in ranks)
            pieces.Add(new SentencePiece(ByteLevelAlphabet.Write(token), -pieces.Count, SentencePieceKind.Normal));
        IReadOnlyList<Merge> merges = Vocabulary.MergesOf(pieces);
        foreach (string name in TiktokenRanks.SpecialTokens())
            pieces.Add(new SentencePiece(name, 0, SentencePieceKind.Control));
        return new Vocabulary
        {
            Family = TokenizerFamily.ByteLevelBpe,
            Pieces = pieces,
            Merges = merges,
            IgnoreMerges = true,
            BosId = ranks.Length,
            EosId = ranks.Length + 1,
        };
    }

    /// <exception cref="DroverException">DataLoss when merges name pieces that are not there.</exception>
    public static Vocabulary FromJson(TokenizerJsonModel model, string file)
    {
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int id = 0; id < model.Pieces.Count; id++)
        {
            if (model.Pieces[id] is { } text && !model.Special.Contains(id))
                ids[text] = id;
        }

        var merges = new List<Merge>(model.Merges.Count);
        var seen = new HashSet<(int, int)>(model.Merges.Count);
        foreach ((string left, string right) in model.Merges)
        {
            if (!ids.TryGetValue(left, out int l) || !ids.TryGetValue(right, out int r) || !ids.TryGetValue(left + right, out int merged))
                throw Corrupt(file, $"merge {merges.Count + 1} ('{left} {right}') names a piece that is not in the vocabulary");
            if (!seen.Add((l, r)))
                throw Corrupt(file, $"merge {merges.Count + 1} ('{left} {right}') stands there twice");
            merges.Add(new Merge(l, r, merged, merges.Count));
        }

        SentencePiece[] pieces = Pieces(model, merges);
        int bytes = model.ByteLevel
            ? pieces.Count(p => p.Kind == SentencePieceKind.Normal && p.Text.Length == 1 && ByteLevelAlphabet.Read(p.Text) is not null)
            : pieces.Count(p => p.Kind == SentencePieceKind.Byte);
        if (bytes != 256)
            throw Corrupt(file, $"{bytes} of the 256 bytes have a piece");
        return new Vocabulary
        {
            Family = model.ByteLevel ? TokenizerFamily.ByteLevelBpe : TokenizerFamily.SentencePieceBpe,
            Pieces = pieces,
            Merges = merges,
            IgnoreMerges = model.IgnoreMerges,
            Prefix = model.Prefix,
            Words = model.Words,
            NormalizesToC = model.NormalizesToC,
            BosId = Find(pieces, BosNames),
            EosId = Find(pieces, EosNames),
            UnkId = model.UnknownToken is { } unknown ? Find(pieces, [unknown]) : -1,
        };
    }

    /// <summary>Takes bos, eos and pad from tokenizer_config.json or special_tokens_map.json, where they name tokens that are there.</summary>
    public static Vocabulary WithConfig(Vocabulary vocabulary, ReadOnlyMemory<byte> config, string file)
    {
        try
        {
            using var document = JsonDocument.Parse(config);
            int Id(string key, int fallback) =>
                Name(document.RootElement, key) is { } name && Find(vocabulary.Pieces, [name]) is var id and >= 0 ? id : fallback;
            return vocabulary with
            {
                BosId = Id("bos_token", vocabulary.BosId),
                EosId = Id("eos_token", vocabulary.EosId),
                PadId = Id("pad_token", vocabulary.PadId),
                UnkId = Id("unk_token", vocabulary.UnkId),
            };
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new DroverException(FailureCode.DataLoss, "CORRUPT_TOKENIZER_CONFIG", $"'{file}' is not JSON of a tokenizer's settings: {e.Message}", e);
        }
    }

    // tokenizer.json has no scores: a piece's place in the order of merges is one.
    private static SentencePiece[] Pieces(TokenizerJsonModel model, List<Merge> merges)
    {
        var order = new Dictionary<int, int>();
        foreach (Merge merge in merges)
            order.TryAdd(merge.Merged, order.Count);
        int rest = order.Count;
        var pieces = new SentencePiece[model.Pieces.Count];
        for (int id = 0; id < pieces.Length; id++)
        {
            string? text = model.Pieces[id];
            SentencePieceKind kind = text is null ? SentencePieceKind.Unused
                : text == model.UnknownToken && !model.ByteLevel ? SentencePieceKind.Unknown
                : model.Special.Contains(id) ? SentencePieceKind.Control
                : !model.ByteLevel && SentencePieceTokenizer.ByteOf(text) is not null ? SentencePieceKind.Byte
                : SentencePieceKind.Normal;
            float score = kind != SentencePieceKind.Normal ? 0 : -(order.TryGetValue(id, out int place) ? place : rest++);
            pieces[id] = new SentencePiece(text ?? "", score, kind);
        }

        return pieces;
    }

    private static int Find(IReadOnlyList<SentencePiece> pieces, string[] names)
    {
        foreach (string name in names)
        {
            for (int id = 0; id < pieces.Count; id++)
            {
                if (pieces[id].Text == name)
                    return id;
            }
        }

        return -1;
    }

    private static string? Name(JsonElement root, string key)
    {
        if (!root.TryGetProperty(key, out JsonElement value))
            return null;
        if (value.ValueKind == JsonValueKind.Object && value.TryGetProperty("content", out JsonElement content))
            value = content;
        return value.ValueKind == JsonValueKind.String ? value.GetString() : null;
    }

    private static DroverException Corrupt(string file, string why) =>
        new(FailureCode.DataLoss, "CORRUPT_TOKENIZER_JSON", $"'{file}' is not a sound tokenizer.json: {why}. Fetch it again.");
}
