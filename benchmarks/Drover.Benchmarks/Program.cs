using Drover.Benchmarks;

return await StepBenchmark.RunAsync(StepArguments.Parse(args)).ConfigureAwait(false);
