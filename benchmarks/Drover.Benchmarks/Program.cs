using Drover.Benchmarks;

return args switch
{
    ["generate", .. var rest] => GenerateBenchmark.Run(StepArguments.Parse(rest)),
    ["plan", .. var rest] => await PlanBenchmark.RunAsync(StepArguments.Parse(rest)).ConfigureAwait(false),
    _ => await StepBenchmark.RunAsync(StepArguments.Parse(args)).ConfigureAwait(false),
};
