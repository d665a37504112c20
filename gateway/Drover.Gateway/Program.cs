using Drover.Gateway;
using Drover.Hosting;

return await ServiceRunner.RunAsync(args, GatewayModule.Build);
