using System.Buffers.Binary;
using System.Text;
using Drover.Errors;
using Drover.Formats.Safetensors;
using Drover.Formats.Tests.Checkpoints;
using Drover.ObjectStore;
using Drover.Testing;

namespace Drover.Formats.Tests.Safetensors;

public sealed class SafetensorsHeaderTests : IDisposable
{
    private const string Good = """{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}}""";
    private readonly TemporaryFolder _folder = new();
    private readonly FolderObjectStore _store;

    public SafetensorsHeaderTests() => _store = new FolderObjectStore(_folder.Path);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_sound_file_is_read()
    {
        SafetensorsFile file = await OpenAsync(File(Good, 22));
        Assert.Equal(["a", "b"], file.Header.Tensors.Keys.Order());
        Assert.Equal((16L, 6L), (file.Get("b").Offset, file.Get("b").Length));
        byte[] bytes = new byte[2];
        await file.ReadAsync("b", 4, bytes, Cancellation);
        Assert.Equal([20, 21], bytes);
        Assert.Equal(FailureCode.OutOfRange, (await Assert.ThrowsAsync<DroverException>(async () => await file.ReadAsync("b", 5, bytes, Cancellation))).Code);
        Assert.Equal(FailureCode.NotFound, Assert.Throws<DroverException>(() => file.Get("c")).Code);
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[14,20]}}""", 22)] // overlap
    [InlineData("""{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[18,24]}}""", 24)] // hole
    [InlineData("""{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[4,20]}}""", 20)] // hole at the start
    [InlineData("""{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}""", 15)] // past the end
    [InlineData("""{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}""", 17)] // bytes of nobody
    [InlineData("""{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"a":{"dtype":"F32","shape":[1],"data_offsets":[16,20]}}""", 20)] // twice
    [InlineData("""{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,16]}}""", 16)] // wrong size
    [InlineData("""{"a":{"dtype":"F32","shape":[-2,-2],"data_offsets":[0,16]}}""", 16)]
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387904,4,0],"data_offsets":[0,0]}}""", 0)] // product overflows before the zero
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,16]}}""", 16)]
    [InlineData("""{"a":{"dtype":"F31","shape":[4],"data_offsets":[0,16]}}""", 16)]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}""", 16)]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[-16,0]}}""", 16)]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0]}}""", 16)]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[-9223372036854775808,9223372036854775807]}}""", 16)]
    [InlineData("""{"a":{"dtype":"F32","shape":"4","data_offsets":[0,16]}}""", 16)]
    [InlineData("""{"a":{"dtype":"F32","data_offsets":[0,16]}}""", 16)]
    [InlineData("""{"a":{"dtype":32,"shape":[4],"data_offsets":[0,16]}}""", 16)]
    [InlineData("""{"a":{"dtype":null,"shape":[4],"data_offsets":[0,16]}}""", 16)]
    [InlineData("""{"a":[]}""", 0)]
    [InlineData("""{"__metadata__":{"a":1}}""", 0)]
    [InlineData("""{"__metadata__":"a"}""", 0)]
    [InlineData("[]", 0)]
    [InlineData("3", 0)]
    [InlineData("{", 0)]
    [InlineData("", 0)]
    public async Task A_header_that_is_not_sound_is_data_loss_naming_the_file(string json, int dataBytes) =>
        await RefusedAsync(File(json, dataBytes));

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(1UL << 63)]
    [InlineData((ulong)SafetensorsHeader.MaxHeaderBytes + 1)]
    [InlineData(1000UL)]
    public async Task A_length_larger_than_the_file_is_refused_before_anything_is_allocated(ulong length)
    {
        byte[] file = File(Good, 22);
        BinaryPrimitives.WriteUInt64LittleEndian(file, length);
        await RefusedAsync(file);
    }

    [Fact]
    public async Task A_file_cut_anywhere_is_refused()
    {
        byte[] file = File(Good, 22);
        for (int length = 0; length < file.Length; length++)
            await RefusedAsync(file[..length]);
    }

    [Fact]
    public void Mutations_of_a_header_throw_nothing_but_our_failures()
    {
        var random = new Random(20240611);
        byte[] good = Encoding.UTF8.GetBytes(Good.Replace("\"a\"", "\"__metadata__\":{\"format\":\"pt\"},\"a\"", StringComparison.Ordinal));
        string[] pieces = ["\"", "{", "}", "[", "]", ",", ":", "-", "1e999", "9223372036854775807", "18446744073709551616", "null", "true", "1.5", "\"\\ud800\"", "data_offsets", "\u0000", "__metadata__", " "];
        int sound = 0, count = 10 * ManifestMutationTests.Mutations;
        for (int i = 0; i < count; i++)
        {
            List<byte> bytes = [.. good];
            for (int n = random.Next(1, 5); n > 0; n--)
                Mutate(bytes, random, pieces);
            byte[] json = [.. bytes];
            try
            {
                SafetensorsHeader header = SafetensorsHeader.Parse(json, 8 + json.Length + 22, "f");
                // What is believed is sound: no tensor leaves the data.
                Assert.All(header.Tensors.Values, t => Assert.InRange(t.Offset + t.Length, 0, 22));
                sound++;
            }
            catch (DroverException e)
            {
                Assert.Equal(FailureCode.DataLoss, e.Code);
            }
        }

        Assert.InRange(sound, 1, count - 1); // the mutations reach both sides
    }

    [Fact]
    public async Task What_is_written_is_read_again_with_its_digest()
    {
        byte[] data = [.. Enumerable.Range(0, 24).Select(i => (byte)i)];
        (long bytes, string sha) = await SafetensorsWriter.PutAsync(
            _store,
            "f",
            [
                new SafetensorsTensor("x \"quoted\" \u8bed", "F32", [2, 3], (target, c) => target.WriteAsync(data, c).AsTask()),
                new SafetensorsTensor("none", "F32", [0, 3], (_, _) => Task.CompletedTask),
                new SafetensorsTensor("scalar", "I64", [], (target, c) => target.WriteAsync(data.AsMemory(0, 8), c).AsTask()),
            ],
            new Dictionary<string, string> { ["by"] = "test" },
            Cancellation);
        byte[] whole = await _store.ReadAllBytesAsync("f", Cancellation);
        Assert.Equal(whole.Length, bytes);
        Assert.Equal(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(whole)), sha);
        SafetensorsFile file = await SafetensorsFile.OpenAsync(_store, "f", Cancellation);
        Assert.Equal("pt", file.Header.Metadata["format"]);
        Assert.Equal("test", file.Header.Metadata["by"]);
        Assert.Equal(0, file.Header.DataStart % 8);
        byte[] read = new byte[24];
        await file.ReadAsync("x \"quoted\" \u8bed", 0, read, Cancellation);
        Assert.Equal(data, read);
    }

    [Fact]
    public async Task A_tensor_that_fails_while_written_leaves_no_file()
    {
        await Assert.ThrowsAnyAsync<Exception>(() => SafetensorsWriter.PutAsync(_store, "f", [new SafetensorsTensor("a", "F32", [4], (_, _) => throw new InvalidDataException("broken"))], null, Cancellation));
        Assert.Null(await _store.FindAsync("f", Cancellation));
    }

    private static void Mutate(List<byte> bytes, Random random, string[] pieces)
    {
        int at = random.Next(bytes.Count);
        switch (random.Next(5))
        {
            case 0:
                bytes[at] = (byte)random.Next(256);
                break;
            case 1:
                bytes.RemoveRange(at, Math.Min(random.Next(1, 12), bytes.Count - at));
                break;
            case 2:
                bytes.InsertRange(at, bytes.GetRange(at, Math.Min(random.Next(1, 40), bytes.Count - at)));
                break;
            case 3:
                bytes[at] = (byte)"0123456789"[random.Next(10)];
                break;
            default:
                bytes.InsertRange(at, Encoding.UTF8.GetBytes(pieces[random.Next(pieces.Length)]));
                break;
        }

        if (bytes.Count == 0)
            bytes.Add((byte)'{');
    }

    private static byte[] File(string json, int dataBytes)
    {
        byte[] text = Encoding.UTF8.GetBytes(json);
        byte[] file = new byte[8 + text.Length + dataBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(file, (ulong)text.Length);
        text.CopyTo(file, 8);
        for (int i = 0; i < dataBytes; i++)
            file[8 + text.Length + i] = (byte)i;
        return file;
    }

    private async Task<SafetensorsFile> OpenAsync(byte[] bytes)
    {
        await _store.PutBytesAsync("home/model.safetensors", bytes, PutCondition.None, Cancellation);
        return await SafetensorsFile.OpenAsync(_store, "home/model.safetensors", Cancellation);
    }

    private async Task RefusedAsync(byte[] bytes)
    {
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => OpenAsync(bytes));
        Assert.Equal(FailureCode.DataLoss, e.Code);
        Assert.Contains("home/model.safetensors", e.Message, StringComparison.Ordinal);
    }
}
