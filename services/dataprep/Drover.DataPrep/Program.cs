return await Drover.Hosting.ServiceRunner.RunAsync(args, Drover.DataPrep.DataPrepModule.Build);
