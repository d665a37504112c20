using System.Runtime.InteropServices;
using Drover.Formats.Checkpoints;

namespace Drover.Formats.Tests.Checkpoints;

public sealed class FloatStreamTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Long_and_short_runs_with_gaps_between_them_are_read_in_order(int seed)
    {
        float[] values = [.. Enumerable.Range(0, 3_000_000).Select(i => (float)i)];
        string path = Path.GetTempFileName();
        await File.WriteAllBytesAsync(path, MemoryMarshal.AsBytes<float>(values).ToArray(), TestContext.Current.CancellationToken);
        var random = new Random(seed);
        try
        {
            await using var floats = new FloatStream(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1, FileOptions.Asynchronous | FileOptions.DeleteOnClose));
            int[] lengths = [1, 7, 5_000, 262_143, 262_144, 300_001, 700_000];
            float[] target = new float[700_010];
            for (int at = 0, runs = 0; ; runs++)
            {
                int skip = random.Next(2) * random.Next(1, 400_000), length = lengths[random.Next(lengths.Length)];
                if (at + skip + length > values.Length)
                {
                    Assert.InRange(runs, 2, int.MaxValue);
                    break;
                }

                await floats.SkipAsync(skip, TestContext.Current.CancellationToken);
                at += skip;
                Array.Clear(target);
                await floats.ReadAsync(target.AsMemory(3, length), TestContext.Current.CancellationToken);
                Assert.Equal(values.AsSpan(at, length), target.AsSpan(3, length));
                Assert.Equal((0, 0), (target[2], target[3 + length]));
                at += length;
            }
        }
        finally
        {
            File.Delete(path);
        }
    }
}
