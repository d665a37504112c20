using Drover.Checkpoint;
using Drover.Hosting;

return await ServiceRunner.RunAsync(args, CheckpointModule.Build).ConfigureAwait(false);
