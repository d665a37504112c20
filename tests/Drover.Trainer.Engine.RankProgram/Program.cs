using System.Globalization;
using System.Text.Json;
using Drover.Trainer.Collectives;
using Drover.Trainer.Engine;
using Drover.Trainer.Engine.Tests;

// One rank of the small run over Open MPI: the layout as JSON, the number of steps. Rank 0 prints loss and gradient norm of each step.
using OpenMpi collectives = OpenMpi.Join();
try
{
    ParallelSpec layout = JsonSerializer.Deserialize<ParallelSpec>(args[0])!;
    int steps = int.Parse(args[1], CultureInfo.InvariantCulture);
    foreach (StepResult step in SmallRun.Run(SmallRun.Spec with { MicroBatchRows = 1, Parallel = layout }, SmallRun.Config with { NumHiddenLayers = 5 }, steps, collectives))
    {
        if (collectives.Rank == 0)
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"step {step.Step} {step.Loss:R} {step.GradNorm:R}"));
    }
}
catch (Exception e)
{
    // The border of the process: the other ranks must not wait for this one.
    Console.Error.WriteLine(e);
    collectives.Abort(1);
}

return 0;
