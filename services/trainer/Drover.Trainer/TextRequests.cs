using System.Security.Cryptography;
using Drover.Errors;
using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>What can be said of a request for text by itself: wrong fields, defaults.</summary>
internal static class TextRequests
{
    private const int DefaultNewTokens = 64;
    private const int MaxNewTokens = 32_768;
    private const int MaxPrompts = 256;

    /// <summary>The prompts, the first of which may be left out where there are others.</summary>
    public static IReadOnlyList<string> Prompts(GenerateTextRequest request) =>
        request.Prompt.Length > 0 || request.Prompts.Count == 0 ? [request.Prompt, .. request.Prompts] : [.. request.Prompts];

    /// <summary>Refuses wrong fields.</summary>
    /// <exception cref="DroverException">InvalidArgument, naming all of them.</exception>
    public static void Check(GenerateTextRequest request)
    {
        var problems = new List<string>();
        void Require(bool good, string what)
        {
            if (!good)
                problems.Add(what);
        }

        SamplingSpec sampling = request.Sampling ?? new SamplingSpec();
        bool isGreedy = sampling is { HasTemperature: true, Temperature: 0 };
        Require(request.Model.Length > 0, "model is empty; name a model folder, a checkpoint or a run, e.g. models/mine or runs/mine");
        Require(request.MaxNewTokens is >= 0 and <= MaxNewTokens, $"max_new_tokens is {request.MaxNewTokens}; give 1 to {MaxNewTokens}, or 0 for {DefaultNewTokens}");
        Require(Prompts(request).Count <= MaxPrompts, $"there are {Prompts(request).Count} prompts; give {MaxPrompts} at most");
        Require(request.StopStrings.All(s => s.Length > 0), "one of stop_strings is empty");
        Require(request.StopIds.All(id => id >= 0), "one of stop_ids is negative");
        Require(Enum.IsDefined(request.Precision), $"precision {(int)request.Precision} is unknown");
        Require(sampling.Temperature >= 0 && double.IsFinite(sampling.Temperature), $"sampling.temperature is {sampling.Temperature}; give 0 for the most probable token, or more");
        Require(sampling.TopK >= 0, $"sampling.top_k is {sampling.TopK}");
        Require(!sampling.HasTopP || sampling.TopP is > 0 and <= 1, $"sampling.top_p is {sampling.TopP}; give more than 0, at most 1");
        Require(sampling.MinP is >= 0 and < 1, $"sampling.min_p is {sampling.MinP}; give 0 or more, less than 1");
        Require(!sampling.HasRepetitionPenalty || (sampling.RepetitionPenalty > 0 && double.IsFinite(sampling.RepetitionPenalty)), $"sampling.repetition_penalty is {sampling.RepetitionPenalty}; give more than 0");
        Require(!isGreedy || (sampling.TopK == 0 && !sampling.HasTopP && sampling.MinP == 0 && !sampling.HasSeed), "sampling.temperature is 0, which draws nothing: leave top_k, top_p, min_p and seed out, or give a temperature");
        if (problems.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_TEXT_REQUEST", $"The request for text: {string.Join("; ", problems)}.");
    }

    /// <summary>What the worker is told, every default filled in.</summary>
    /// <param name="request">Checked.</param>
    /// <param name="model">A model folder or a checkpoint.</param>
    /// <param name="tokenizer">Its tokenizer's folder.</param>
    public static GenerateSpec ForWorker(GenerateTextRequest request, string model, string tokenizer)
    {
        SamplingSpec sampling = request.Sampling ?? new SamplingSpec();
        bool draws = sampling.HasTemperature ? sampling.Temperature > 0 : sampling.TopK > 0 || sampling.HasTopP || sampling.MinP > 0 || sampling.HasSeed;
        return new GenerateSpec
        {
            Model = model,
            Tokenizer = tokenizer,
            Prompts = Prompts(request),
            MaxNewTokens = request.MaxNewTokens == 0 ? DefaultNewTokens : request.MaxNewTokens,
            StopIds = [.. request.StopIds],
            StopStrings = [.. request.StopStrings],
            IgnoreEndOfText = request.IgnoreEndOfText,
            Temperature = !draws ? 0 : sampling.HasTemperature ? sampling.Temperature : 1,
            TopK = sampling.TopK,
            TopP = sampling.HasTopP ? sampling.TopP : 1,
            MinP = sampling.MinP,
            RepetitionPenalty = sampling.HasRepetitionPenalty ? sampling.RepetitionPenalty : 1,
            // Short enough to be typed again.
            Seed = !draws ? 0 : sampling.HasSeed ? sampling.Seed : RandomNumberGenerator.GetInt32(1, int.MaxValue),
        };
    }
}
