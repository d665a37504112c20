using Drover.Benchmarks;

StepArguments arguments = StepArguments.Parse(args);
return await (arguments.IsPlan ? PlanBenchmark.RunAsync(arguments) : StepBenchmark.RunAsync(arguments)).ConfigureAwait(false);
