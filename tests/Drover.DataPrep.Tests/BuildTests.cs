using System.IO.Hashing;
using System.Text;
using Drover.DataPrep.Building;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Tests;

public sealed class BuildTests : IDisposable
{
    private readonly BuildHarness _harness = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _harness.Dispose();

    [Fact]
    public async Task Tasks_cover_the_file_once_and_begin_at_line_starts()
    {
        byte[] file = Lines(100);
        await _harness.PutAsync("inputs/a.jsonl", file);
        DatasetSpec spec = Spec("inputs/a.jsonl");
        spec.TaskBytes = 200;
        BuildPlan plan = await _harness.PlanAsync(spec);
        Assert.True(plan.Tasks.Count > 5);
        long next = 0;
        foreach (PlannedTask task in plan.Tasks)
        {
            PlannedPiece piece = Assert.Single(task.Pieces);
            Assert.Equal(next, piece.Offset);
            Assert.Equal(1 + file.AsSpan(0, (int)next).Count((byte)'\n'), piece.FirstLine);
            Assert.True(next == 0 || file[next - 1] == '\n');
            Assert.Equal(Convert.ToHexStringLower(XxHash128.Hash(file.AsSpan((int)next, (int)piece.Length))), piece.Xxh128);
            next += piece.Length;
        }

        Assert.Equal(file.Length, next);
    }

    [Fact]
    public async Task Every_token_of_every_document_is_in_a_row_in_its_order()
    {
        await _harness.PutAsync("inputs/a.jsonl", Lines(60));
        DatasetSpec spec = Spec("inputs/a.jsonl");
        spec.TaskBytes = 500;
        using PackedDataset dataset = await _harness.BuildAsync(spec);
        DatasetManifest manifest = dataset.Manifest;
        Assert.Equal((60, 60, 0), (manifest.LinesIn, manifest.Documents, manifest.TokensRejected));
        Assert.Equal(manifest.TokensIn, manifest.TokensInRows);
        string[] texts = [.. Enumerable.Range(0, 60).Select(Text)];
        Assert.Equal(texts.Sum(t => t.Length + 2), manifest.TokensIn);
        Assert.Equal(texts.Sum(t => (long)t.Length), manifest.TextBytes);
        // Short documents lie whole in a row; the first token of each carries no loss, all others do.
        var found = new List<string>();
        long labels = 0;
        for (long id = 0; id < dataset.RowCount; id++)
        {
            PackedRow row = dataset.Read(id);
            Assert.InRange(row.InputIds.Length, 1, 32);
            int at = 0;
            foreach (int length in row.DocumentLengths)
            {
                Assert.Equal([PackedRow.Ignored, .. row.InputIds[(at + 1)..(at + length)]], row.Labels[at..(at + length)]);
                found.Add(_harness.Tokenizer.Decode(row.InputIds[at..(at + length)], true));
                labels += length - 1;
                at += length;
            }
        }

        Assert.Equal(labels, manifest.LabelTokens);
        Assert.Equal(string.Concat(texts.Order(StringComparer.Ordinal)).Length, string.Concat(found).Length);
        Assert.Superset(texts.Where(t => t.Length <= 30).ToHashSet(), found.ToHashSet());
    }

    [Fact]
    public async Task Bad_lines_are_listed_with_number_and_reason_and_the_rest_is_built()
    {
        byte[] file = [.. "\uFEFF"u8, .. "{\"text\":\"good\"}\r\n\r\n{\"text\":\n[1]\n{\"text\":\"\"}\n"u8, 0x7b, 0xff, 0x7d, .. "\n{\"text\":\"last\"}"u8];
        await _harness.PutAsync("inputs/a.jsonl", file);
        using PackedDataset dataset = await _harness.BuildAsync(Spec("inputs/a.jsonl"));
        Assert.Equal((6, 4, 2), (dataset.Manifest.LinesIn, dataset.Manifest.LinesRejected, dataset.Manifest.Documents));
        Assert.Equal(
            [(3, "MALFORMED_JSON"), (4, "WRONG_TYPE"), (5, "EMPTY_TEXT"), (6, "INVALID_UTF8")],
            _harness.Rejects().Select(r => (r.GetProperty("line").GetInt32(), r.GetProperty("reason").GetString()!)));
    }

    [Fact]
    public async Task Cut_tokens_of_conversations_are_counted_as_rejected()
    {
        await _harness.PutAsync("inputs/a.json", """[{"instruction":"U","output":"abcdefghijklmnopqrstuvwxyz"},{"instruction":"0123456789012345678901234567890123456789","output":"x"}, {"instruction":"U","output":"a"}]"""u8.ToArray());
        DatasetSpec spec = Spec("inputs/a.json");
        spec.Format = DatasetFormat.Sft;
        spec.ConversationTemplate = "plain";
        using PackedDataset dataset = await _harness.BuildAsync(spec);
        DatasetManifest manifest = dataset.Manifest;
        // "BOS User: U\nAssistant: abc..z EOS" = 1 + 18 + 27 + 1 = 47 tokens, 32 kept; the second loses all of its 61.
        Assert.Equal((3, 1, 2), (manifest.LinesIn, manifest.LinesRejected, manifest.Documents));
        Assert.Equal(15 + 61, manifest.TokensRejected);
        Assert.Equal(manifest.TokensIn, manifest.TokensInRows + manifest.TokensRejected);
        Assert.Equal([(1, 15), (2, 61)], _harness.Rejects().Select(r => (r.GetProperty("element").GetInt32(), r.GetProperty("tokens").GetInt32())));
    }

    [Fact]
    public async Task A_task_done_twice_writes_the_same_bytes_and_one_with_a_record_is_not_done_again()
    {
        await _harness.PutAsync("inputs/a.jsonl", [.. Lines(40), .. "bad\n"u8]);
        BuildPlan plan = await _harness.PlanAsync(Spec("inputs/a.jsonl"));
        await _harness.RunAsync(plan);
        SortedDictionary<string, byte[]> first = _harness.Snapshot("datasets");
        string record = Path.Combine(_harness.Folder["objects"], BuildKeys.Of(plan).Record(TaskPhase.Rows, 0));
        DateTime written = File.GetLastWriteTimeUtc(record);
        await _harness.RunAsync(plan);
        Assert.Equal(written, File.GetLastWriteTimeUtc(record));
        File.Delete(record);
        await _harness.RunAsync(plan);
        Assert.Equal(first, _harness.Snapshot("datasets"));
    }

    [Fact]
    public async Task A_record_whose_shard_is_gone_or_of_another_plan_is_no_record()
    {
        await _harness.PutAsync("inputs/a.jsonl", Lines(10));
        BuildPlan plan = await _harness.PlanAsync(Spec("inputs/a.jsonl"));
        CompletionRecord record = Assert.Single(await _harness.RunAsync(plan));
        Assert.Null(await CompletionRecord.FindAsync(_harness.Store, plan with { VocabularySize = 31 }, TaskPhase.Rows, 0, Cancellation));
        await _harness.Store.DeleteAsync("datasets/d/" + Assert.Single(record.Shards).File, Cancellation);
        Assert.Null(await CompletionRecord.FindAsync(_harness.Store, plan, TaskPhase.Rows, 0, Cancellation));
    }

    [Fact]
    public async Task A_build_without_a_row_fails_and_says_why()
    {
        await _harness.PutAsync("inputs/a.jsonl", "nonsense\n{}\n"u8.ToArray());
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => _harness.BuildAsync(Spec("inputs/a.jsonl")));
        Assert.Equal(FailureCode.FailedPrecondition, e.Code);
        Assert.Contains("MALFORMED_JSON 1, MISSING_FIELD 1", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_an_unfinished_build_left_under_the_name_is_removed_before_the_manifest()
    {
        await _harness.PutAsync("datasets/d/data-00000-of-00009.arrow", [1]);
        await _harness.PutAsync("inputs/a.jsonl", Lines(10));
        (await _harness.BuildAsync(Spec("inputs/a.jsonl"))).Dispose();
        Assert.Equal(["data-00000-000", "dataset_info", "manifest", "state"], _harness.Snapshot("datasets/d").Keys.Select(k => Path.GetFileNameWithoutExtension(k)).Select(k => k.StartsWith("data-", StringComparison.Ordinal) ? k[..14] : k));
    }

    [Fact]
    public async Task A_spec_is_refused_with_all_its_wrong_fields_at_once()
    {
        var spec = new DatasetSpec { Name = "a/b", Tokenizer = "", MaxLength = 1, ConversationTemplate = "none", TaskBytes = -1 };
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => new SpecChecker(_harness.Store).CheckAsync(spec, Cancellation));
        Assert.Equal(FailureCode.InvalidArgument, e.Code);
        foreach (string field in new[] { "name:", "tokenizer:", "sources:", "format:", "max_length:", "conversation_template:", "task_bytes:" })
            Assert.Contains(field, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Missing_inputs_are_named_together()
    {
        DatasetSpec spec = Spec("inputs/none.jsonl");
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => new SpecChecker(_harness.Store).CheckAsync(spec, Cancellation));
        Assert.Equal(FailureCode.NotFound, e.Code);
        Assert.Contains("tokenizers/t", e.Message, StringComparison.Ordinal);
        Assert.Contains("inputs/none.jsonl", e.Message, StringComparison.Ordinal);
    }

    internal static DatasetSpec Spec(string source) =>
        new() { Name = "d", Tokenizer = "tokenizers/t", Sources = { source }, Format = DatasetFormat.Pretrain, MaxLength = 32 };

    internal static byte[] Lines(int count) =>
        Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, count).Select(i => $$"""{"text":"{{Text(i)}}","category":"c{{i % 3}}"}""" + "\n")));

    private static string Text(int i) => new((char)('a' + (i % 26)), 1 + (i * 7 % 45));
}
