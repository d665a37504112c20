using Drover.Benchmarks;

return args is ["generate", .. var rest]
    ? GenerateBenchmark.Run(StepArguments.Parse(rest))
    : await StepBenchmark.RunAsync(StepArguments.Parse(args)).ConfigureAwait(false);
