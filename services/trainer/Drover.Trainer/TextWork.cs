using Drover.Errors;
using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;
using Grpc.Core;

namespace Drover.Trainer;

/// <summary>Continues prompts in a worker process of one rank, which ends with the call.</summary>
internal sealed class TextWork(WorkerLauncher launcher, AttemptFolders folders, ModelReferences references)
{
    /// <summary>Answers a request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="begin">Told the number of prompts, before anything else.</param>
    /// <param name="tell">Told every piece of text as it comes.</param>
    /// <param name="context">Of the call.</param>
    /// <exception cref="DroverException">As the RPC's comment says.</exception>
    public async Task<TextStatistics> RunAsync(GenerateTextRequest request, Action<int> begin, Func<TextPiece, Task> tell, ServerCallContext context)
    {
        TextRequests.Check(request);
        string model = await references.ResolveAsync(request.Model, context.CancellationToken).ConfigureAwait(false);
        string tokenizer = await references.TokenizerOfAsync(model, request.Tokenizer, context.CancellationToken).ConfigureAwait(false);
        GenerateSpec generate = TextRequests.ForWorker(request, model, tokenizer);
        begin(generate.Prompts.Count);
        string folder = folders.Open(AttemptFolders.Texts);
        WorkerSpec spec = launcher.NewSpec(folder) with
        {
            Precision = request.Precision == Precision.Unspecified ? "fp32" : TrainingSpecs.NameOf(request.Precision),
            Generate = generate,
        };
        GeneratedAllEvent? all = null;
        try
        {
            WorkerOutcome outcome = await launcher.RunAsync("generate", spec, 1, async update =>
            {
                all = update.GeneratedAll ?? all;
                if (update.Generated is { } piece)
                    await tell(new TextPiece { Prompt = piece.Prompt, Text = piece.Text, Ids = { piece.Ids }, EndReason = ReasonOf(piece.End) }).ConfigureAwait(false);
            }, context.CancellationToken).ConfigureAwait(false);
            return all is null
                ? throw outcome.ToException()
                : new TextStatistics { Seed = generate.Seed, PromptTokens = all.PromptTokens, NewTokens = all.NewTokens, Seconds = all.Seconds };
        }
        catch (OperationCanceledException) when (context.Deadline <= DateTime.UtcNow)
        {
            throw new DroverException(FailureCode.DeadlineExceeded, "DEADLINE_EXCEEDED", "The text was not done within the call's deadline. Give a later one, or a smaller max_new_tokens.");
        }
        finally
        {
            // The prompt may be private: nothing of a call that went well, or was given up, stays behind.
            if (all is not null || context.CancellationToken.IsCancellationRequested)
                folders.Discard(folder);
            else
                folders.Close(folder);
        }
    }

    private static EndReason ReasonOf(string? end) => end switch
    {
        null => EndReason.Unspecified,
        "Length" => EndReason.Length,
        "EndOfText" => EndReason.EndOfText,
        _ => EndReason.Stop,
    };
}
