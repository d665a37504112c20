using System.Diagnostics;
using System.Globalization;
using Drover.Benchmarks;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;
using Drover.Trainer.Engine;
using Drover.Trainer.Model;

// The training step at the shapes that the peer's script uses by default: 8 layers of 512, 32,000 ids, 4 rows of 512 tokens.
// usage: Drover.Benchmarks [bf16|fp32] [steps] [head chunk tokens]
Precision precision = args.Length > 0 && args[0] == "fp32" ? Precision.Fp32 : Precision.Bf16;
int steps = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 6;
int chunk = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 512;
HostHeap.KeepFreedMemory();
const int Threads = 2, Batch = 4, Length = 512;
var config = new LlamaConfig
{
    VocabSize = 32000,
    HiddenSize = 512,
    IntermediateSize = 1376,
    NumHiddenLayers = 8,
    NumAttentionHeads = 8,
};
var spec = new EngineSpec
{
    Precision = precision,
    GlobalBatchRows = Batch,
    MicroBatchRows = Batch,
    HeadChunkTokens = chunk,
    Schedule = new ScheduleSpec { TotalSteps = 1000 },
    Threads = Threads,
};
List<StepResult> results;
long parameters;
using (var engine = new TrainingEngine(spec, config, new SingleRank(), new RandomRows(config.VocabSize, Length)))
{
    engine.InitializeWeights(0);
    parameters = engine.State.Where(s => s.Kind == "weight").Sum(s => s.Count);
    results = [.. Enumerable.Range(0, steps).Select(_ => engine.Step()).Skip(1).OrderBy(r => r.Seconds)];
}

long peak = Process.GetCurrentProcess().PeakWorkingSet64 >> 20;
StepResult median = results[results.Count / 2];
double products = MatrixProducts.SecondsOfStep(config, Batch * Length, precision);
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{{\"system\": \"Drover\", \"dtype\": \"{precision}\", \"threads\": {Threads}, \"parameters\": {parameters}, \"tokens_per_second\": {Batch * Length / median.Seconds:F1}, \"step_s\": {median.Seconds:F3}, \"forward_s\": {median.ForwardSeconds:F3}, \"backward_s\": {median.BackwardSeconds:F3}, \"optimizer_s\": {median.OptimizerSeconds:F3}, \"matrix_products_alone_s\": {products:F3}, \"peak_rss_mib\": {peak}}}"));
