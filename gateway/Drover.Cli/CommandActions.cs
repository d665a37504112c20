using System.CommandLine;
using Drover.Client;
using Drover.Errors;
using Grpc.Core;

namespace Drover.Cli;

/// <summary>Ties commands to what they do; every failure ends as one line and an exit code.</summary>
internal static class CommandActions
{
    /// <summary>Sets what a command does.</summary>
    public static Command Does(this Command command, Func<CliContext, ParseResult, Task<int>> action)
    {
        command.SetAction(async (parse, cancellation) =>
        {
            using CliContext context = CliContext.From(parse, cancellation);
            try
            {
                return await action(context, parse).ConfigureAwait(false);
            }
            catch (DroverException e)
            {
                return Fail(context, e.Message, ExitCodes.For(e.Code));
            }
            catch (Exception e) when (cancellation.IsCancellationRequested && e is OperationCanceledException or RpcException { StatusCode: StatusCode.Cancelled })
            {
                return Fail(context, "cancelled", ExitCodes.Cancelled);
            }
            catch (RpcException e)
            {
                return Explain(context, e);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return Fail(context, e.Message, ExitCodes.BadInput);
            }
        });
        return command;
    }

    private static int Explain(CliContext context, RpcException e)
    {
        if (e.StatusCode == StatusCode.Unavailable && !e.IsAnswer())
            return Fail(context, $"no gateway answers at {context.GatewayAddress}. Start one with 'drover up', or name another with --gateway URL.", ExitCodes.Unreachable);
        return Fail(context, e.Status.Detail, ExitCodes.For((FailureCode)(int)e.StatusCode));
    }

    private static int Fail(CliContext context, string message, int code)
    {
        context.Error.WriteLine($"error: {message.ReplaceLineEndings(" ")}");
        return code;
    }
}
