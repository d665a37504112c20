using Drover.DataPrep.Building;
using Drover.Testing;

namespace Drover.DataPrep.Tests;

public sealed class UncachedWriterTests
{
    private const int Block = 1 << 20;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(Block - 1)]
    [InlineData(Block)]
    [InlineData(Block + 1)]
    [InlineData((3 * Block) + 4097)]
    public async Task What_was_written_in_pieces_of_any_size_is_what_is_read(int length)
    {
        using var folder = new TemporaryFolder();
        byte[] expected = new byte[length];
        var random = new Random(length);
        random.NextBytes(expected);
        using var file = new FileStream(folder["file"], FileMode.CreateNew, FileAccess.ReadWrite);
        using var writer = new UncachedWriter(file);
        for (int at = 0, count; at < length; at += count)
        {
            count = Math.Min(length - at, random.Next(3) == 0 ? random.Next(1, 2 * Block) : random.Next(1, 5000));
            writer.Write(expected.AsSpan(at, count));
        }

        writer.Finish();
        Assert.Equal(length, writer.Written);
        // By the same file, as it is stored, at a place that no disk reads directly.
        byte[] found = new byte[length];
        file.Position = 0;
        await file.ReadExactlyAsync(found, TestContext.Current.CancellationToken);
        Assert.Equal(expected, found);
        Assert.Equal(expected, await File.ReadAllBytesAsync(folder["file"], TestContext.Current.CancellationToken));
    }

    [Fact]
    public void A_file_that_cannot_be_written_is_told_by_the_next_write()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "needs /dev/full");
        using var file = new FileStream("/dev/full", FileMode.Open, FileAccess.Write);
        using var writer = new UncachedWriter(file);
        IOException failure = Assert.Throws<IOException>(() =>
        {
            for (int i = 0; i < 4; i++)
                writer.Write(new byte[Block]);
        });
        Assert.True(WorkFolder.IsFull(failure));
    }
}
