using System.Text.Json;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Tokenization;
using Grpc.Core;

namespace Drover.Tokenizer.Tests;

public sealed class LearningAndChatTests
{
    [Fact]
    public async Task Pieces_are_learnt_from_text_and_the_report_counts_held_out_documents()
    {
        await using RunningService service = await RunningService.StartAsync();
        await service.TrainBaseAsync();
        await service.PutModelAsync(320, tied: false, sharded: false);
        string[] lines = [.. Enumerable.Range(0, 200).Select(i => JsonSerializer.Serialize(new { text = i % 2 == 0 ? "牧人赶着羊群过河，羊群在河边休息。" : "The shepherd leads sheep; the shepherd sleeps." }))];
        await service.Store.PutTextAsync("inputs/more.jsonl", string.Join('\n', lines), RunningService.Cancellation);
        var spec = new ExpansionSpec { Name = "wide", BaseTokenizer = "tokenizers/base", BaseModel = "models/base", ReportSources = { "inputs/more.jsonl" } };
        spec.Learning = new LearningSpec { Sources = { "inputs/more.jsonl" }, Count = 12, HeldOutShare = 0.1 };
        Expansion expansion = await service.ExpandAsync(spec);
        Assert.Equal(JobState.Succeeded, expansion.Job.State);
        Assert.Equal(12, expansion.Result.PiecesAdded);
        FertilityRow heldOut = expansion.Result.Report.First(r => r.Source == "held out");
        Assert.Equal(20, expansion.Result.Report.Where(r => r.Source == "held out").Sum(r => r.Documents));
        Assert.True(heldOut.TokensAfter < heldOut.TokensBefore);
        Assert.Equal(220, expansion.Result.Report[^1].Documents);
        Assert.Equal(expansion.Result.NewParameters, (expansion.Result.NewVocabularySize - 320) * 2L * RunningService.Hidden);
        Assert.Equal(["report.json", "report.svg"], (await service.KeysAsync(expansion.Result.ReportFolder + "/")).Select(k => k.Split('/')[^1]));

        spec.Name = "han";
        spec.Scripts.Add("han");
        spec.Learning.Count = 5;
        Expansion han = await service.ExpandAsync(spec);
        ITextTokenizer tokenizer = await TokenizerFolder.LoadAsync(service.Store, "tokenizers/han", RunningService.Cancellation);
        Assert.Equal(5, han.Result.PiecesAdded);
        Assert.All(Enumerable.Range(320, han.Result.NewVocabularySize - 320), id => Assert.True(tokenizer.PieceOf(id)[0] > 0x2E80));

        // The tokenizer that is there already: only the model is written, as it was.
        Expansion resized = await service.ExpandAsync(new ExpansionSpec { Name = "again", BaseTokenizer = "tokenizers/base", BaseModel = "models/base", ExpandedTokenizer = "tokenizers/han" });
        Assert.Equal(("tokenizers/han", "models/again"), (resized.Result.Tokenizer, resized.Result.Model));
        Assert.Empty(await service.KeysAsync("tokenizers/again"));
        HuggingFaceModel first = await HuggingFaceModel.OpenAsync(service.Store, "models/han", RunningService.Cancellation);
        HuggingFaceModel second = await HuggingFaceModel.OpenAsync(service.Store, "models/again", RunningService.Cancellation);
        Assert.Equal(await RunningService.ReadRowsAsync(first, LlamaTensors.Head), await RunningService.ReadRowsAsync(second, LlamaTensors.Head));
    }

    [Theory]
    [InlineData(EmbeddingInit.Mean)]
    [InlineData(EmbeddingInit.Zeros)]
    [InlineData(EmbeddingInit.Normal)]
    public async Task New_rows_begin_as_the_spec_says(EmbeddingInit init)
    {
        await using RunningService service = await RunningService.StartAsync();
        await service.TrainBaseAsync();
        float[][] old = await service.PutModelAsync(320, tied: true, sharded: false);
        await service.Store.PutTextAsync("inputs/pieces.txt", string.Join('\n', Enumerable.Range(0, 400).Select(i => $"{(char)(0x4E00 + i)}")), RunningService.Cancellation);
        Expansion expansion = await service.ExpandAsync(new ExpansionSpec { Name = "wide", BaseTokenizer = "tokenizers/base", BaseModel = "models/base", Pieces = "inputs/pieces.txt", EmbeddingInit = init });
        Assert.Equal(400, expansion.Result.PiecesAdded);
        HuggingFaceModel model = await HuggingFaceModel.OpenAsync(service.Store, "models/wide", RunningService.Cancellation);
        float[][] rows = (await RunningService.ReadRowsAsync(model, LlamaTensors.Embedding))[320..];
        for (int column = 0; column < RunningService.Hidden; column++)
        {
            double mean = old.Average(r => r[column]);
            Assert.Equal(init == EmbeddingInit.Zeros ? 0 : mean, rows.Average(r => r[column]), 1e-4);
            for (int other = 0; other <= column; other++)
            {
                // transformers draws with 1e-9 of the covariance.
                double covariance = Covariance(old, column, other), made = 1e9 * Covariance(rows, column, other);
                double error = Math.Sqrt(((covariance * covariance) + (Covariance(old, column, column) * Covariance(old, other, other))) / 400);
                Assert.Equal(init == EmbeddingInit.Normal ? covariance : 0, made, init == EmbeddingInit.Normal ? 5 * error : 1e-3);
            }
        }
    }

    private static double Covariance(float[][] rows, int column, int other)
    {
        double mean = rows.Average(r => r[column]), otherMean = rows.Average(r => r[other]);
        return rows.Average(r => (r[column] - mean) * (r[other] - otherMean));
    }

    [Fact]
    public async Task A_spec_that_says_nothing_or_too_much_is_refused_with_its_fields()
    {
        await using RunningService service = await RunningService.StartAsync();
        await service.TrainBaseAsync();
        (ExpansionSpec Spec, string Named)[] cases =
        [
            (new ExpansionSpec(), "exactly one"),
            (new ExpansionSpec { Pieces = "a", ExpandedTokenizer = "b" }, "exactly one"),
            (new ExpansionSpec { ExpandedTokenizer = "tokenizers/base" }, "base_model"),
            (new ExpansionSpec { Pieces = "inputs/corpus.jsonl", Scripts = { "klingon" } }, "klingon"),
            (new ExpansionSpec { Learning = new LearningSpec { Count = 5 } }, "learning.sources"),
            (new ExpansionSpec { Learning = new LearningSpec { Sources = { "inputs" } } }, "learning.count"),
        ];
        foreach ((ExpansionSpec spec, string named) in cases)
        {
            (spec.Name, spec.BaseTokenizer) = ("t", "tokenizers/base");
            RpcException refused = await Assert.ThrowsAsync<RpcException>(async () => await service.Client.CreateExpansionAsync(new CreateExpansionRequest { Spec = spec }, cancellationToken: RunningService.Cancellation));
            Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
            Assert.Contains(named, refused.Status.Detail, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_conversation_is_written_by_the_tokenizers_template_and_its_special_tokens_become_ids()
    {
        await using RunningService service = await RunningService.StartAsync();
        await service.TrainBaseAsync();
        var request = new ApplyChatTemplateRequest { Tokenizer = "tokenizers/base", MessagesJson = """[{"role": "user", "content": "The </s> river"}]""", AddGenerationPrompt = true };
        RpcException none = await Assert.ThrowsAsync<RpcException>(async () => await service.Client.ApplyChatTemplateAsync(request, cancellationToken: RunningService.Cancellation));
        Assert.Equal(StatusCode.FailedPrecondition, none.StatusCode);

        await service.Store.PutTextAsync("tokenizers/base/chat_template.jinja", "{% for m in messages %}{{ bos_token + m.role + ': ' + m.content + eos_token }}{% endfor %}{% if add_generation_prompt %}{{ note }}{% endif %}", RunningService.Cancellation);
        request.VariablesJson = """{"note": "go on"}""";
        ApplyChatTemplateResponse chat = await service.Client.ApplyChatTemplateAsync(request, cancellationToken: RunningService.Cancellation);
        Assert.Equal("<s>user: The </s> river</s>go on", chat.Text);
        Assert.Equal((1, 2), (chat.Ids[0], chat.Ids.Count(i => i == 2)));
        request.MessagesJson = "{}";
        RpcException malformed = await Assert.ThrowsAsync<RpcException>(async () => await service.Client.ApplyChatTemplateAsync(request, cancellationToken: RunningService.Cancellation));
        Assert.Contains("messages_json", malformed.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Batches_come_back_in_order_over_one_call()
    {
        await using RunningService service = await RunningService.StartAsync();
        await service.TrainBaseAsync();
        ITextTokenizer tokenizer = await TokenizerFolder.LoadAsync(service.Store, "tokenizers/base", RunningService.Cancellation);
        using AsyncDuplexStreamingCall<EncodeBatchRequest, EncodeBatchResponse> call = service.Client.EncodeBatch(cancellationToken: RunningService.Cancellation);
        for (int i = 0; i < 5; i++)
        {
            string[] texts = [.. Enumerable.Range(0, 40).Select(n => $"The drover {i} {n} 羊")];
            await call.RequestStream.WriteAsync(new EncodeBatchRequest { Tokenizer = "tokenizers/base", Texts = { texts }, CountsOnly = i == 4 }, RunningService.Cancellation);
            Assert.True(await call.ResponseStream.MoveNext(RunningService.Cancellation));
            EncodeBatchResponse answer = call.ResponseStream.Current;
            Assert.Equal(texts.Select(t => tokenizer.Encode(t).Length), answer.Counts);
            Assert.Equal(i == 4 ? [] : texts.SelectMany(tokenizer.Encode), answer.Ids);
        }

        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext(RunningService.Cancellation));
    }
}
