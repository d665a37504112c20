using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Testing;
using Grpc.Core;
using static Drover.Checkpoint.Tests.RunningService;

namespace Drover.Checkpoint.Tests;

/// <summary>Models fetched from another bucket, on a real S3 server where one is named.</summary>
public sealed class BucketImportTests
{
    [Fact]
    public async Task A_model_of_another_bucket_comes_byte_for_byte_and_one_that_changed_since_is_refused()
    {
        string suffix = $"{Guid.NewGuid():N}"[..16];
        ObjectStoreOptions options = S3Server.Require($"import-from-{suffix}");
        IObjectStore bucket = ObjectStores.Open(options);
        await using RunningService source = await StartAsync();
        Model there = await source.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = await source.PublishAsync("r", 1), MaxShardBytes = 6000 });
        foreach (ModelFile file in there.Files.Where(f => f.Path != "drover.json"))
            await bucket.PutBytesAsync($"team/nested/m/{file.Path}", await source.Store.ReadAllBytesAsync($"models/m/{file.Path}", Cancellation), PutCondition.None, Cancellation);

        string address = $"s3://{options.S3Bucket}";
        await using RunningService target = await StartAsync([$"--Checkpoint:ImportAddresses={address}", .. S3Server.Settings(options with { S3Bucket = $"import-to-{suffix}" })]);
        var spec = new ImportSpec { Name = "a", Repository = "team/nested/m" };
        Import import = await target.ImportAsync(spec);
        Assert.True(import.Job.State == JobState.Succeeded, $"{import.Job.State}: {import.Job.Failure?.Message}");
        Dictionary<string, string> digests = there.Files.Where(f => f.Path != "drover.json").ToDictionary(f => f.Path, f => f.Sha256);
        Assert.Equal(digests, import.Result.Files.Where(f => f.Path != "import.json").ToDictionary(f => f.Path, f => f.Sha256));
        Assert.Equal(import.Result, (await target.ImportAsync(spec)).Result);

        await bucket.PutTextAsync("team/nested/m/README.md", "another text", Cancellation);
        Import again = await target.ImportAsync(spec);
        Assert.Equal((JobState.Failed, (int)StatusCode.Aborted), (again.Job.State, again.Job.Failure.Code));
        Assert.Contains("import it again", again.Job.Failure.Message, StringComparison.Ordinal);

        Import none = await target.ImportAsync(new ImportSpec { Name = "b", Repository = "team/other" });
        Assert.Equal((JobState.Failed, (int)StatusCode.NotFound), (none.Job.State, none.Job.Failure.Code));
        Status refused = await StatusOf(async () => await target.Client.CreateImportAsync(new CreateImportRequest { Spec = new ImportSpec { Name = "b", Repository = "team/../m", Revision = "v2" } }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        Assert.Contains("a bucket has none", refused.Detail, StringComparison.Ordinal);
    }
}
