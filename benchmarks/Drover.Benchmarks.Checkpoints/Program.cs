using System.Diagnostics;
using System.Globalization;
using Drover.Benchmarks.Checkpoints;
using Drover.Protocol.Checkpoint.V1;

// One stage a process, so that each has a peak of memory of its own: save, publish, load, reload, export, export32, pull, hub. See benchmarks/checkpoints.sh.
(string stage, string folder) = (args[0], args[1]);
long parameters = long.Parse(args[2], CultureInfo.InvariantCulture);
await using var bench = new CheckpointStages(folder, parameters);
await bench.StartAsync();
long started = Stopwatch.GetTimestamp();
long bytes = stage switch
{
    "save" => await bench.SaveAsync(),
    "publish" => await bench.PublishAsync(),
    "load" => await bench.LoadAsync(isCutOtherwise: false),
    "reload" => await bench.LoadAsync(isCutOtherwise: true),
    "export" => await bench.ExportAsync(ExportDataType.Bf16),
    "export32" => await bench.ExportAsync(ExportDataType.Fp32),
    "pull" => await bench.PullAsync(),
    "hub" => await CheckpointStages.RenderAsync(),
    _ => throw new ArgumentException(stage),
};
double seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{stage}: {bytes / 1e9:F2} GB in {seconds:F2} s, {bytes / 1e9 / seconds:F2} GB/s, peak {Process.GetCurrentProcess().PeakWorkingSet64 / 1e6:F0} MB"));
