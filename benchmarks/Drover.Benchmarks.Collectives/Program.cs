using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Drover.Trainer.Collectives;

// One rank. The best of some runs of each collective over Open MPI, and how much of a started sum is done by itself:
// mpirun -n 2 --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 --mca btl_vader_single_copy_mechanism none dotnet Drover.Benchmarks.Collectives.dll
const long Mega = 1 << 20;
using OpenMpi world = OpenMpi.Join();
int ranks = world.WorldSize;
foreach (long bytes in (long[])[256, 64 << 10, 4 * Mega, 64 * Mega])
{
    nint source = Values(bytes);
    nint destination = Values(bytes);
    long values = bytes / sizeof(float);
    Measure("all-reduce", bytes, () => world.StartAllReduceSum(source, values).Wait());
    Measure("reduce-scatter", bytes, () => world.ReduceScatterSum(source, destination, values / ranks));
    Measure("all-gather", bytes, () => world.AllGather(source, destination, bytes / ranks));
    if (bytes >= Mega)
        MeasureHidden(source, bytes);
}

unsafe nint Values(long bytes)
{
    float* data = (float*)NativeMemory.Alloc((nuint)bytes);
    new Span<float>(data, (int)(bytes / sizeof(float))).Fill(1);
    return (nint)data;
}

void Measure(string name, long bytes, Action operation)
{
    int runs = bytes < Mega ? 300 : bytes < 32 * Mega ? 60 : 8;
    double best = double.MaxValue;
    for (int i = 0; i < runs; i++)
    {
        world.Barrier();
        long start = Stopwatch.GetTimestamp();
        operation();
        best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    Print(string.Create(CultureInfo.InvariantCulture, $"{ranks} ranks, {bytes} bytes, {name}: {bytes / best / 1e9:0.00} GB/s, {best * 1e6:0} us"));
}

// The rank computes for about twice as long as the sum takes, then waits for what is left.
void MeasureHidden(nint data, long bytes)
{
    double seconds = bytes / 1e9;
    world.Barrier();
    ICollectiveHandle handle = world.StartAllReduceSum(data, bytes / sizeof(float));
    long start = Stopwatch.GetTimestamp();
    while (Stopwatch.GetElapsedTime(start).TotalSeconds < seconds)
        Thread.SpinWait(1000);
    start = Stopwatch.GetTimestamp();
    handle.Wait();
    Print(string.Create(CultureInfo.InvariantCulture, $"{ranks} ranks, {bytes} bytes, all-reduce behind {seconds * 1e3:0} ms of computing: {Stopwatch.GetElapsedTime(start).TotalMilliseconds:0.0} ms left"));
}

void Print(string line)
{
    if (world.Rank == 0)
        Console.WriteLine(line);
}
