using Drover.Hosting;
using Drover.Tokenizer;

return await ServiceRunner.RunAsync(args, TokenizerModule.Build);
