using System.CommandLine;
using Drover.Client;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Protocol.Trainer.V1;
using Google.Protobuf;
using Spectre.Console;

namespace Drover.Cli;

/// <summary>What a command works with: where to write, and clients of the gateway.</summary>
internal sealed class CliContext : IDisposable
{
    private const int WidthOfFiles = 120;
    private readonly Lazy<DroverClient> _connection;

    private CliContext(ParseResult parse, CancellationToken cancellation)
    {
        Output = parse.InvocationConfiguration.Output;
        Error = parse.InvocationConfiguration.Error;
        Json = parse.GetValue(GlobalOptions.Json);
        GatewayAddress = parse.GetValue(GlobalOptions.Gateway)!;
        Cancellation = cancellation;
        _connection = new Lazy<DroverClient>(() => new DroverClient(GatewayAddress));
        Terminal = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Output) });
        // A file has no width; names of checkpoints should not be broken in it.
        if (!IsInteractive)
            Terminal.Profile.Width = WidthOfFiles;
    }

    public TextWriter Output { get; }

    public TextWriter Error { get; }

    public bool Json { get; }

    public string GatewayAddress { get; }

    public CancellationToken Cancellation { get; }

    /// <summary>The output as a terminal, for tables and bars.</summary>
    public IAnsiConsole Terminal { get; }

    /// <summary>Whether the output is a terminal that a person looks at.</summary>
    public bool IsInteractive => !Json && ReferenceEquals(Output, Console.Out) && !Console.IsOutputRedirected;

    /// <summary>The connection that the clients below call through.</summary>
    public DroverClient Client => _connection.Value;

    public GatewayService.GatewayServiceClient Gateway => _connection.Value.Gateway;

    public AccessService.AccessServiceClient Access => _connection.Value.Access;

    public TokenizerService.TokenizerServiceClient Tokenizer => _connection.Value.Tokenizer;

    public DataPrepService.DataPrepServiceClient DataPrep => _connection.Value.DataPrep;

    public TrainerService.TrainerServiceClient Trainer => _connection.Value.Trainer;

    public CheckpointService.CheckpointServiceClient Checkpoint => _connection.Value.Checkpoint;

    public static CliContext From(ParseResult parse, CancellationToken cancellation) => new(parse, cancellation);

    /// <summary>Writes a message as one line of JSON.</summary>
    public void WriteJson(IMessage message) => Output.WriteLine(JsonFormatter.Default.Format(message));

    /// <summary>Writes a message as JSON with --json, else what <paramref name="text"/> says.</summary>
    public void Write(IMessage message, Func<string> text)
    {
        if (Json)
            WriteJson(message);
        else
            Output.WriteLine(text());
    }

    public void Dispose()
    {
        if (_connection.IsValueCreated)
            _connection.Value.Dispose();
    }
}
