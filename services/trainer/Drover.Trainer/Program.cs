using Drover.Hosting;
using Drover.Trainer;

return await ServiceRunner.RunAsync(args, TrainerModule.Build).ConfigureAwait(false);
