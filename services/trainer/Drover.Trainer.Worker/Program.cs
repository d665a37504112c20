using Drover.Trainer.Worker;

return WorkerProcess.Run(args);
