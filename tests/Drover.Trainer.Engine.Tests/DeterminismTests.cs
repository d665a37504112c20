using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;

namespace Drover.Trainer.Engine.Tests;

/// <summary>The same run twice on one machine: the same bits, of a model large enough that the library shares its work among threads.</summary>
public sealed class DeterminismTests
{
    private static readonly LlamaConfig Config = SmallRun.Config with { VocabSize = 2000, HiddenSize = 192, IntermediateSize = 512, NumHiddenLayers = 2 };

    [Theory]
    [InlineData(1, Precision.Fp32)]
    [InlineData(2, Precision.Fp32)]
    [InlineData(3, Precision.Fp32)]
    [InlineData(2, Precision.Bf16)]
    [InlineData(4, Precision.Bf16)]
    public void Two_runs_end_in_the_same_bits(int threads, Precision precision)
    {
        EngineSpec spec = SmallRun.Spec with { Threads = threads, Precision = precision, HeadChunkTokens = 100 };
        Assert.Equal(Digest(spec, new SingleRank()), Digest(spec, new SingleRank()));
    }

    [Theory]
    [InlineData(StatePlacement.Replicated)]
    [InlineData(StatePlacement.Zero3)]
    public void Two_runs_of_two_ranks_end_in_the_same_bits(StatePlacement placement)
    {
        EngineSpec spec = SmallRun.Spec with { Threads = 1, Parallel = new ParallelSpec { Placement = placement } };
        string[] Run()
        {
            string[] digests = new string[2];
            ThreadRanks.Run(2, collectives => digests[collectives.Rank] = Digest(spec, collectives));
            return digests;
        }

        Assert.Equal(Run(), Run());
    }

    [Fact]
    public void Another_seed_ends_in_other_bits() =>
        Assert.NotEqual(Digest(SmallRun.Spec, new SingleRank()), Digest(SmallRun.Spec with { Seed = 6 }, new SingleRank()));

    private static string Digest(EngineSpec spec, ICollectives collectives)
    {
        using var engine = SmallRun.Engine(spec, Config, collectives, new RandomRows(40, 128, Config.VocabSize, seed: 3));
        for (int i = 0; i < 3; i++)
            engine.Step();
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (StateSlice slice in engine.State)
        {
            float[] values = new float[slice.Count];
            engine.CopyState(slice, values);
            hash.AppendData(MemoryMarshal.AsBytes(values.AsSpan()));
        }

        return Convert.ToHexString(hash.GetHashAndReset());
    }
}
