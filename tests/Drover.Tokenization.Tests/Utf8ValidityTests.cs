using System.Text;
using System.Text.Unicode;
using CsCheck;

namespace Drover.Tokenization.Tests;

public sealed class Utf8ValidityTests
{
    private static readonly Gen<string> Texts = Gen.OneOf(Gen.Char['a', 'z'], Gen.Char['\u0080', '\u07ff'], Gen.Char['\u0800', '\ud7ff'], Gen.Char['\ue000', '\uffff'])
        .Select(c => c.ToString()).Array[0, 120].Select(Gen.Int[0, 5], (parts, rare) => string.Concat(parts.Select((p, i) => i % 7 == rare ? "\U0001F600" : p)));

    [Fact]
    public void Text_is_valid_and_with_any_byte_changed_it_is_what_the_system_says() =>
        Gen.Select(Texts, Gen.Int[0, 1000], Gen.Byte).Sample((text, place, value) =>
        {
            byte[] utf8 = Encoding.UTF8.GetBytes(text);
            Assert.True(Utf8Validity.IsValid(utf8));
            if (utf8.Length == 0)
                return;
            utf8[place % utf8.Length] = value;
            Assert.Equal(Utf8.IsValid(utf8), Utf8Validity.IsValid(utf8));
        }, iter: 20_000);

    [Fact]
    public void Text_that_is_cut_off_anywhere_is_what_the_system_says() =>
        Gen.Select(Texts, Gen.Int[0, 1000], Gen.Int[0, 1000]).Sample((text, from, to) =>
        {
            ReadOnlySpan<byte> utf8 = Encoding.UTF8.GetBytes(text);
            utf8 = utf8[(from % (utf8.Length + 1))..];
            utf8 = utf8[..(to % (utf8.Length + 1))];
            Assert.Equal(Utf8.IsValid(utf8), Utf8Validity.IsValid(utf8));
        }, iter: 20_000);

    // Every lead with every second byte, and with the thirds and fourths that matter, at each place of vectors and their borders.
    [Fact]
    public void Every_pair_of_bytes_is_judged_as_the_system_does_wherever_it_lies()
    {
        byte[] rests = [0x00, 0x41, 0x7F, 0x80, 0xBF, 0xC2, 0xE0, 0xF0, 0xFF];
        byte[] text = new byte[70];
        for (int first = 0x7F; first < 0x100; first++)
        {
            for (int second = 0; second < 0x100; second++)
            {
                foreach (byte third in rests)
                {
                    foreach (byte fourth in rests)
                    {
                        int at = (first + (second * 5) + third + (fourth * 3)) % 67;
                        text.AsSpan().Fill((byte)'a');
                        (text[at], text[at + 1], text[at + 2], text[at + 3]) = ((byte)first, (byte)second, third, fourth);
                        if (Utf8.IsValid(text) != Utf8Validity.IsValid(text))
                            Assert.Fail($"{first:x2} {second:x2} {third:x2} {fourth:x2} at {at}");
                    }
                }
            }
        }
    }
}
