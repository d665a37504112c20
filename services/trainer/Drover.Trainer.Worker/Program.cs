using Drover.Trainer.Worker;

return await WorkerProcess.RunAsync(args).ConfigureAwait(false);
