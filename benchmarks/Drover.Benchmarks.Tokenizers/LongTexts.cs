using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Drover.Tokenization;

namespace Drover.Benchmarks.Tokenizers;

/// <summary>Texts without a place to cut: one line of many megabytes without spaces, one character again and again. Time must grow as they do, and memory too.</summary>
internal static class LongTexts
{
    public static void Run(ITextTokenizer tokenizer, string? only)
    {
        var ids = new TokenBuffer();
        tokenizer.Encode("compiled before it is timed"u8, ids);
        foreach ((string name, Func<int, byte[]> make) in new (string, Func<int, byte[]>)[]
        {
            ("letters without spaces", size => Letters(size, 'a', 26)),
            ("ideographs without spaces", size => Letters(size / 3, '一', 0x51A6)),
            ("one letter", size => Repeated("a"u8, size)),
            ("spaces", size => Repeated(" "u8, size)),
            ("one ideograph", size => Repeated("羊"u8, size)),
            ("line ends", size => Repeated("\n"u8, size)),
            ("digits", size => Repeated("7"u8, size)),
            ("an emoji with joiners", size => Repeated("👨‍👩‍👧"u8, size)),
        })
        {
            if (only is not null && only != name)
                continue;
            foreach (int size in new[] { 1_000_000, 10_000_000, 100_000_000 })
            {
                byte[] text = make(size);
                ids.Clear();
                long start = Stopwatch.GetTimestamp();
                tokenizer.Encode(text, ids);
                double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
                Console.WriteLine(JsonSerializer.Serialize(new { text = name, bytes = text.Length, tokens = ids.Count, seconds = Math.Round(seconds, 3), mb_per_second = Math.Round(text.Length / seconds / 1e6, 1), peak_mb = Process.GetCurrentProcess().PeakWorkingSet64 >> 20 }));
            }
        }
    }

    private static byte[] Letters(int count, char first, int kinds)
    {
        var random = new Random(1);
        char[] text = new char[count];
        for (int i = 0; i < count; i++)
            text[i] = (char)(first + random.Next(kinds));
        return Encoding.UTF8.GetBytes(text);
    }

    private static byte[] Repeated(ReadOnlySpan<byte> unit, int size)
    {
        byte[] text = new byte[size / unit.Length * unit.Length];
        for (int at = 0; at < text.Length; at += unit.Length)
            unit.CopyTo(text.AsSpan(at));
        return text;
    }
}
