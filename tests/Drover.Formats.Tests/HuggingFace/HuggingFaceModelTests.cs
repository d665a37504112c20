using Drover.Errors;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;
using Drover.Testing;

namespace Drover.Formats.Tests.HuggingFace;

public sealed class HuggingFaceModelTests : IDisposable
{
    private const string Config = """{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":40,"hidden_size":16,"intermediate_size":24,"num_hidden_layers":2,"num_attention_heads":4}""";
    private readonly TemporaryFolder _folder = new();
    private readonly FolderObjectStore _store;

    public HuggingFaceModelTests() => _store = new FolderObjectStore(_folder.Path);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Weights_in_pickle_files_are_refused_with_the_way_out()
    {
        await _store.PutTextAsync("models/m/config.json", Config, Cancellation);
        await _store.PutTextAsync("models/m/pytorch_model.bin", "x", Cancellation);
        DroverException e = await FailureAsync();
        Assert.Equal((FailureCode.FailedPrecondition, "PICKLED_WEIGHTS"), (e.Code, e.Reason));
    }

    [Fact]
    public async Task A_folder_without_config_or_weights_is_not_found()
    {
        Assert.Equal(FailureCode.NotFound, (await FailureAsync()).Code);
        await _store.PutTextAsync("models/m/config.json", Config, Cancellation);
        Assert.Equal("WEIGHTS_NOT_FOUND", (await FailureAsync()).Reason);
    }

    [Theory]
    [InlineData("{", FailureCode.DataLoss)]
    [InlineData("{}", FailureCode.DataLoss)]
    [InlineData("""{"weight_map":[]}""", FailureCode.DataLoss)]
    [InlineData("""{"weight_map":{"a":null}}""", FailureCode.DataLoss)]
    [InlineData("""{"weight_map":{"a":"s.safetensors","a":"s.safetensors"}}""", FailureCode.DataLoss)]
    [InlineData("""{"weight_map":{"b":"s.safetensors"}}""", FailureCode.NotFound)] // the shard holds no b
    [InlineData("""{"weight_map":{"a":"t.safetensors"}}""", FailureCode.NotFound)] // no such shard
    [InlineData("""{"weight_map":{"a":"../../secret"}}""", FailureCode.InvalidArgument)]
    public async Task An_index_that_does_not_fit_its_shards_is_refused(string index, FailureCode code)
    {
        await _store.PutTextAsync("models/m/config.json", Config, Cancellation);
        await PutShardAsync("s.safetensors", "a");
        await _store.PutTextAsync($"models/m/{HuggingFaceModel.IndexFile}", index, Cancellation);
        Assert.Equal(code, (await FailureAsync()).Code);
    }

    [Fact]
    public async Task Shards_are_found_through_the_index()
    {
        await _store.PutTextAsync("models/m/config.json", Config, Cancellation);
        await PutShardAsync("1.safetensors", "a");
        await PutShardAsync("2.safetensors", "b");
        await _store.PutTextAsync($"models/m/{HuggingFaceModel.IndexFile}", """{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}""", Cancellation);
        HuggingFaceModel model = await HuggingFaceModel.OpenAsync(_store, "models/m", Cancellation);
        Assert.Equal(["a", "b"], model.TensorNames);
        Assert.Equal("models/m/2.safetensors", model.FileOf("b").Key);
        Assert.Equal(FailureCode.NotFound, Assert.Throws<DroverException>(() => model.Get("c")).Code);
    }

    private async Task<DroverException> FailureAsync() =>
        await Assert.ThrowsAsync<DroverException>(() => HuggingFaceModel.OpenAsync(_store, "models/m", Cancellation));

    private async Task PutShardAsync(string file, string tensor) =>
        await SafetensorsWriter.PutAsync(_store, $"models/m/{file}", [new SafetensorsTensor(tensor, "F32", [1], (target, c) => target.WriteAsync(new byte[4], c).AsTask())], null, Cancellation);
}
