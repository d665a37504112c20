using Drover.Checkpoint;
using Drover.DataPrep;
using Drover.Gateway;
using Drover.Hosting;
using Drover.Tokenizer;
using Drover.Trainer;

// Every service in one process. They still find each other by address and talk gRPC: nothing in them knows that they are
// together. Those that are called start before those that call, and stop after them.
return await ServiceRunner.RunAsync(
    args,
    TokenizerModule.Build,
    DataPrepModule.Build,
    CheckpointModule.Build,
    TrainerModule.Build,
    GatewayModule.Build);
