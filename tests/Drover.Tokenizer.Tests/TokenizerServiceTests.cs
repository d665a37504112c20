using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Tokenization;
using Grpc.Core;

namespace Drover.Tokenizer.Tests;

public sealed class TokenizerServiceTests
{
    [Fact]
    public async Task A_learnt_tokenizer_encodes_decodes_counts_and_tells_of_itself()
    {
        await using RunningService service = await RunningService.StartAsync();
        TokenizerTraining training = await service.TrainBaseAsync();
        Assert.Equal(JobState.Succeeded, training.Job.State);
        Assert.Equal("tokenizers/base", training.Result.Tokenizer);
        Assert.Equal(["special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json"], (await service.KeysAsync("tokenizers/base/")).Select(k => k.Split('/')[^1]));

        InspectTokenizerResponse info = await service.Client.InspectTokenizerAsync(new InspectTokenizerRequest { Tokenizer = "tokenizers/base" }, cancellationToken: RunningService.Cancellation);
        Assert.Equal(training.Result.Info, info.Info);
        Assert.Equal(320, info.Info.VocabularySize);
        const string text = "The drover & the 羊";
        EncodeResponse encoded = await service.Client.EncodeAsync(new EncodeRequest { Tokenizer = "tokenizers/base", Text = text, AddBos = true, AddEos = true }, cancellationToken: RunningService.Cancellation);
        Assert.Equal((1, 2), (encoded.Ids[0], encoded.Ids[^1]));
        Assert.Equal(encoded.Ids.Count, encoded.Pieces.Count);
        DecodeResponse decoded = await service.Client.DecodeAsync(new DecodeRequest { Tokenizer = "tokenizers/base", Ids = { encoded.Ids }, SkipSpecialTokens = true }, cancellationToken: RunningService.Cancellation);
        Assert.Equal(text, decoded.Text);
        CountTokensResponse counted = await service.Client.CountTokensAsync(new CountTokensRequest { Tokenizer = "tokenizers/base", Texts = { text, "" } }, cancellationToken: RunningService.Cancellation);
        Assert.Equal([encoded.Ids.Count - 2, 0], counted.Counts);
        Assert.Equal(20, counted.TotalUtf8Bytes);
    }

    [Theory]
    [InlineData(false, false, 1, 0)]
    [InlineData(true, false, 64, 0)]
    [InlineData(false, true, 32, 5)]
    public async Task A_resized_model_keeps_its_rows_and_new_rows_are_the_means_of_their_sub_pieces(bool tied, bool sharded, int multiple, int paddedBy)
    {
        await using RunningService service = await RunningService.StartAsync();
        await service.TrainBaseAsync();
        float[][] old = await service.PutModelAsync(320 + paddedBy, tied, sharded);
        await service.Store.PutTextAsync("inputs/pieces.jsonl", "{\"piece\": \"羊群\"}\nshepherd\n the\n", RunningService.Cancellation);
        Expansion expansion = await service.ExpandAsync(new ExpansionSpec { Name = "wide", BaseTokenizer = "tokenizers/base", BaseModel = "models/base", Pieces = "inputs/pieces.jsonl", PadToMultiple = multiple });
        Assert.Equal(JobState.Succeeded, expansion.Job.State);
        ExpansionResult result = expansion.Result;
        Assert.Equal((320, 2, 1), (result.OldVocabularySize, result.PiecesAdded, result.PiecesAlreadyKnown));
        Assert.Equal(result.NewVocabularySize, 320 + result.PiecesAdded + result.IntermediatePiecesAdded);
        Assert.Equal(0, result.EmbeddingRows % multiple);

        HuggingFaceModel model = await HuggingFaceModel.OpenAsync(service.Store, "models/wide", RunningService.Cancellation);
        Assert.Equal(result.EmbeddingRows, model.Config.VocabSize);
        HuggingFaceModel before = await HuggingFaceModel.OpenAsync(service.Store, "models/base", RunningService.Cancellation);
        Assert.Equal(before.TensorNames, model.TensorNames);
        ITextTokenizer baseTokenizer = await TokenizerFolder.LoadAsync(service.Store, "tokenizers/base", RunningService.Cancellation);
        ITextTokenizer wide = await TokenizerFolder.LoadAsync(service.Store, "models/wide", RunningService.Cancellation);
        Assert.Equal(result.ContentHash, wide.ContentHash);
        float[][] rows = await RunningService.ReadRowsAsync(model, LlamaTensors.Embedding);
        Assert.Equal(result.EmbeddingRows, rows.Length);
        for (int id = 0; id < 320; id++)
            Assert.Equal(old[id], rows[id]);
        int space = baseTokenizer.Encode("\u0001")[0];
        for (int id = 320; id < result.NewVocabularySize; id++)
        {
            // A piece that starts no word: what its text gives after the dummy prefix, which stands alone before a byte.
            int[] sub = baseTokenizer.Encode("\u0001" + wide.PieceOf(id))[2..];
            Assert.Equal("▁", baseTokenizer.PieceOf(space));
            for (int column = 0; column < RunningService.Hidden; column++)
                Assert.Equal(sub.Average(s => old[s][column]), rows[id][column], 1e-6);
        }

        Assert.All(rows.Skip(result.NewVocabularySize), row => Assert.All(row, v => Assert.Equal(0, v)));
        Assert.Equal(await RunningService.ReadRowsAsync(before, "model.layers.0.mlp.down_proj.weight"), await RunningService.ReadRowsAsync(model, "model.layers.0.mlp.down_proj.weight"));
        if (!tied)
            Assert.Equal(result.EmbeddingRows, (await RunningService.ReadRowsAsync(model, LlamaTensors.Head)).Length);
    }

    [Theory]
    [InlineData(300)]
    [InlineData(32_000)]
    public async Task A_tokenizer_of_another_model_is_refused_with_both_numbers_and_nothing_is_written(int rows)
    {
        await using RunningService service = await RunningService.StartAsync();
        await service.TrainBaseAsync();
        await service.PutModelAsync(rows, tied: true, sharded: false);
        await service.Store.PutTextAsync("inputs/pieces.txt", "shepherd\n", RunningService.Cancellation);
        Expansion expansion = await service.ExpandAsync(new ExpansionSpec { Name = "wide", BaseTokenizer = "tokenizers/base", BaseModel = "models/base", Pieces = "inputs/pieces.txt" });
        Assert.Equal(JobState.Failed, expansion.Job.State);
        Assert.Equal((int)StatusCode.FailedPrecondition, expansion.Job.Failure.Code);
        Assert.Contains("320", expansion.Job.Failure.Message, StringComparison.Ordinal);
        Assert.Contains($"{rows}", expansion.Job.Failure.Message, StringComparison.Ordinal);
        Assert.Empty(await service.KeysAsync("tokenizers/wide"));
        Assert.Empty(await service.KeysAsync("models/wide"));
    }

    [Fact]
    public async Task Damaged_files_fail_the_job_with_their_names_and_leave_nothing()
    {
        await using RunningService service = await RunningService.StartAsync();
        await service.TrainBaseAsync();
        await service.PutModelAsync(320, tied: true, sharded: false);
        await service.Store.PutTextAsync("inputs/pieces.txt", "good\n{\"piece\": 1}\n", RunningService.Cancellation);
        await service.Store.PutTextAsync("inputs/good.txt", "good\n", RunningService.Cancellation);
        await service.Store.PutBytesAsync("tokenizers/broken/tokenizer.model", new byte[] { 10, 200, 1, 3 }, PutCondition.None, RunningService.Cancellation);
        await service.Store.PutTextAsync("tokenizers/odd/tokenizer.json", """{"model": {"type": "WordPiece", "vocab": {}}}""", RunningService.Cancellation);
        await service.Store.PutTextAsync("models/torn/config.json", await service.Store.ReadTextAsync("models/base/config.json", RunningService.Cancellation), RunningService.Cancellation);
        await service.Store.PutTextAsync("models/torn/model.safetensors", "\u0010\0\0\0\0\0\0\0{\"a\": nonsense  ", RunningService.Cancellation);

        (ExpansionSpec Spec, StatusCode Code, string Named)[] cases =
        [
            (new ExpansionSpec { BaseTokenizer = "tokenizers/base", Pieces = "inputs/pieces.txt" }, StatusCode.InvalidArgument, "Line 2"),
            (new ExpansionSpec { BaseTokenizer = "tokenizers/broken", Pieces = "inputs/good.txt" }, StatusCode.DataLoss, "tokenizers/broken/tokenizer.model"),
            (new ExpansionSpec { BaseTokenizer = "tokenizers/odd", Pieces = "inputs/good.txt" }, StatusCode.FailedPrecondition, "WordPiece"),
            (new ExpansionSpec { BaseTokenizer = "tokenizers/none", Pieces = "inputs/good.txt" }, StatusCode.NotFound, "tokenizers/none"),
            (new ExpansionSpec { BaseTokenizer = "tokenizers/base", Pieces = "inputs/good.txt", BaseModel = "models/torn" }, StatusCode.DataLoss, "models/torn/model.safetensors"),
        ];
        foreach ((ExpansionSpec spec, StatusCode code, string named) in cases)
        {
            spec.Name = "result";
            Expansion expansion = await service.ExpandAsync(spec);
            Assert.Equal((int)code, expansion.Job.Failure?.Code);
            Assert.Contains(named, expansion.Job.Failure!.Message, StringComparison.Ordinal);
        }

        Assert.Empty(await service.KeysAsync("tokenizers/result"));
        Assert.Empty(await service.KeysAsync("models/result"));
    }

    [Fact]
    public async Task A_bad_request_is_refused_at_the_door()
    {
        await using RunningService service = await RunningService.StartAsync();
        RpcException small = await Assert.ThrowsAsync<RpcException>(async () => await service.Client.CreateTokenizerTrainingAsync(new CreateTokenizerTrainingRequest { Spec = new TokenizerTrainingSpec { Name = "t", Sources = { "inputs" }, VocabularySize = 100 } }, cancellationToken: RunningService.Cancellation));
        Assert.Equal(StatusCode.InvalidArgument, small.StatusCode);
        Assert.Contains("vocabulary_size", small.Status.Detail, StringComparison.Ordinal);
        RpcException missing = await Assert.ThrowsAsync<RpcException>(async () => await service.Client.CreateTokenizerTrainingAsync(new CreateTokenizerTrainingRequest { Spec = new TokenizerTrainingSpec { Name = "t", Sources = { "inputs/none.jsonl" }, VocabularySize = 400 } }, cancellationToken: RunningService.Cancellation));
        Assert.Equal(StatusCode.NotFound, missing.StatusCode);
        RpcException absent = await Assert.ThrowsAsync<RpcException>(async () => await service.Client.EncodeAsync(new EncodeRequest { Tokenizer = "tokenizers/none", Text = "a" }, cancellationToken: RunningService.Cancellation));
        Assert.Equal(StatusCode.NotFound, absent.StatusCode);
        await service.TrainBaseAsync();
        RpcException id = await Assert.ThrowsAsync<RpcException>(async () => await service.Client.DecodeAsync(new DecodeRequest { Tokenizer = "tokenizers/base", Ids = { 320 } }, cancellationToken: RunningService.Cancellation));
        Assert.Equal(StatusCode.InvalidArgument, id.StatusCode);
    }
}
