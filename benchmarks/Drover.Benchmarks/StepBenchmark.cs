using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Drover.Trainer.Collectives;
using Drover.Trainer.Engine;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;

namespace Drover.Benchmarks;

/// <summary>
/// Times training steps on one rank, or on the ranks that mpirun started, beside the matrix products of the step timed alone. Rank 0
/// prints one line of JSON: medians over the steps after the first; memory and traffic of rank 0.
/// </summary>
internal static class StepBenchmark
{
    public static Task<int> RunAsync(StepArguments arguments)
    {
        HostHeap.KeepFreedMemory();
        using ICollectives collectives = OpenMpi.StartedByMpirun ? OpenMpi.Join() : new SingleRank();
        EngineSpec spec = arguments.SpecFor(collectives.WorldSize);
        using var engine = new TrainingEngine(spec, arguments.Config, collectives, new RandomRows(arguments.Config.VocabSize, arguments.Length, arguments.MixedDocuments));
        if (arguments.AreWeightsConstant)
            engine.LoadWeights((_, values) => values.Fill(0.01f));
        else
            engine.InitializeWeights(0);
        engine.Step();
        engine.Traffic.Reset();
        var steps = new List<StepResult>();
        var resident = new List<long>();
        bool besideProducts = collectives.WorldSize == 1 && !arguments.AreWeightsConstant;
        using MatrixProducts? products = besideProducts ? new MatrixProducts(arguments.Config, (long)arguments.Rows * arguments.Length, spec.Precision) : null;
        using AttentionAlone? attention = besideProducts ? new AttentionAlone(arguments, spec.Precision) : null;
        for (int i = 1; i < arguments.Steps; i++)
        {
            steps.Add(engine.Step());
            resident.Add(Environment.WorkingSet >> 20);
            products?.Time();
            attention?.Time();
        }

        if (collectives.Rank == 0)
            Console.WriteLine(Report(arguments, spec, collectives.WorldSize, engine, steps, resident, (products?.SecondsOfStep, attention?.SecondsOfStep)).ToJsonString());
        collectives.Barrier();
        return Task.FromResult(0);
    }

    // Of everything that a checkpoint of this rank holds: equal where two runs did the same to the last bit.
    private static string Digest(TrainingEngine engine)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (StateSlice slice in engine.State)
        {
            float[] values = new float[slice.Count];
            engine.CopyState(slice, values);
            hash.AppendData(MemoryMarshal.AsBytes(values.AsSpan()));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
    }

    private static JsonObject Report(StepArguments arguments, EngineSpec spec, int ranks, TrainingEngine engine, List<StepResult> steps, List<long> resident, (double? Products, double? Attention) alone)
    {
        double Median(Func<StepResult, double> of) => steps.Select(of).Order().ElementAt(steps.Count / 2);
        double tokens = Median(s => s.RealTokens / s.Seconds);
        var memory = new JsonObject();
        foreach (MemoryLine line in engine.Memory.Lines)
            memory[$"{line.Class}/{line.Place}".ToLowerInvariant()] = Math.Round(line.PeakBytes / 1048576.0, 1);
        var traffic = new JsonObject();
        foreach (TrafficEntry line in engine.Traffic.Snapshot())
            traffic[$"{line.Axis}/{line.Operation}"] = Math.Round(line.PayloadBytes / 1048576.0 / steps.Count, 2);
        return new JsonObject
        {
            ["ranks"] = ranks,
            ["threads"] = arguments.Threads,
            ["precision"] = spec.Precision.ToString(),
            ["placement"] = spec.Parallel.Placement.ToString(),
            ["parameters"] = engine.State.Where(s => s.Kind == "weight").Sum(s => s.Count),
            ["tokens_per_second"] = Math.Round(tokens, 1),
            ["gflops"] = Math.Round(Median(s => s.ModelFlops / s.Seconds) / 1e9, 1),
            ["step_s"] = Math.Round(Median(s => s.Seconds), 3),
            ["forward_s"] = Math.Round(Median(s => s.ForwardSeconds), 3),
            ["backward_s"] = Math.Round(Median(s => s.BackwardSeconds), 3),
            ["optimizer_s"] = Math.Round(Median(s => s.OptimizerSeconds), 3),
            ["products_alone_s"] = alone.Products is { } products ? Math.Round(products, 3) : null,
            ["attention_alone_s"] = alone.Attention is { } attention ? Math.Round(attention, 3) : null,
            ["step_over_alone"] = alone is ({ } p, { } a) ? Math.Round(Median(s => s.Seconds) / (p + a), 3) : null,
            ["memory_mib"] = memory,
            ["traffic_mib_per_step"] = traffic,
            ["waited_s_per_step"] = new JsonObject(engine.Traffic.Snapshot().Select(e => e.Axis).Distinct().Select(a => KeyValuePair.Create<string, JsonNode?>(a, Math.Round(engine.Traffic.WaitedFor(a).TotalSeconds / steps.Count, 3)))),
            ["resident_mib"] = string.Join(' ', resident.Where((_, i) => i == 0 || i == resident.Count - 1 || i % Math.Max(1, resident.Count / 8) == 0).Select(r => r.ToString(CultureInfo.InvariantCulture))),
            ["digest"] = Digest(engine),
            ["peak_resident_mib"] = Process.GetCurrentProcess().PeakWorkingSet64 >> 20,
        };
    }
}
