using System.IO.Compression;
using System.Text;
using System.Text.Json;
using Drover.DataPrep.Building;
using Drover.DataPrep.Sources;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.Protocol.DataPrep.V1;
using Parquet.Serialization;
using ZstdSharp;

namespace Drover.DataPrep.Tests;

/// <summary>Formats, field names and what is wrong with files.</summary>
public sealed class SourceTests : IDisposable
{
    private readonly BuildHarness _harness = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _harness.Dispose();

    [Theory]
    [InlineData("a.jsonl")]
    [InlineData("a.ndjson")]
    [InlineData("a.jsonl.gz")]
    [InlineData("a.jsonl.zst")]
    [InlineData("a.json")]
    [InlineData("a.json.gz")]
    [InlineData("array.json")]
    [InlineData("array.json.zst")]
    [InlineData("a.parquet")]
    public async Task Every_format_gives_the_same_documents(string name)
    {
        await _harness.PutAsync("inputs/" + name, await FileAsync(name));
        using PackedDataset dataset = await _harness.BuildAsync(BuildTests.Spec("inputs/" + name));
        Assert.Equal((40, 40, 0), (dataset.Manifest.LinesIn, dataset.Manifest.Documents, dataset.Manifest.LinesRejected));
        using var plain = new BuildHarness();
        await plain.PutAsync("inputs/a.jsonl", BuildTests.Lines(40));
        using PackedDataset expected = await plain.BuildAsync(BuildTests.Spec("inputs/a.jsonl"));
        Assert.Equal(Rows(expected), Rows(dataset));
        Assert.Equal(expected.Manifest.Categories, dataset.Manifest.Categories);
    }

    [Fact]
    public async Task Nested_columns_of_parquet_are_conversations()
    {
        using var file = new MemoryStream();
        Talk[] talks = [.. Enumerable.Range(0, 3).Select(i => new Talk { Messages = [new Message { Role = "user", Content = "U" + i }, new Message { Role = "assistant", Content = "A" + i }] })];
        await ParquetSerializer.SerializeAsync(talks, file, cancellationToken: Cancellation);
        await _harness.PutAsync("inputs/a.parquet", file.ToArray());
        DatasetSpec spec = BuildTests.Spec("inputs/a.parquet");
        (spec.Format, spec.ConversationTemplate) = (DatasetFormat.Sft, "plain");
        using PackedDataset dataset = await _harness.BuildAsync(spec);
        Assert.Equal(3, dataset.Manifest.Documents);
    }

    [Theory]
    [InlineData(TextUnit.File, 1)]
    [InlineData(TextUnit.Paragraph, 3)]
    [InlineData(TextUnit.Line, 5)]
    public async Task Text_files_are_documents_of_the_unit_asked_for(TextUnit unit, int documents)
    {
        const string Text = "first\r\nsecond\n\n \nthird\n\n\nfourth\nfifth";
        await _harness.PutAsync("inputs/a.txt", Encoding.UTF8.GetBytes(Text));
        await _harness.PutAsync("inputs/b.txt.gz", Compress(Encoding.UTF8.GetBytes(Text + "!")));
        DatasetSpec spec = BuildTests.Spec("inputs/*.txt*");
        spec.TextUnit = unit;
        using PackedDataset dataset = await _harness.BuildAsync(spec);
        Assert.Equal((2 * documents, 2 * documents, 0), (dataset.Manifest.Documents, dataset.Manifest.LinesIn, dataset.Manifest.LinesRejected));
        if (unit == TextUnit.File)
            Assert.Equal((2 * Text.Length) + 1, dataset.Manifest.TextBytes);
    }

    [Fact]
    public async Task Small_files_share_a_task_and_large_ones_are_cut_without_changing_what_is_counted()
    {
        for (int i = 0; i < 5; i++)
            await _harness.PutAsync($"inputs/f{i}.jsonl", BuildTests.Lines(3 + (20 * i)));
        BuildPlan whole = await _harness.PlanAsync(BuildTests.Spec("inputs"));
        Assert.Equal(5, Assert.Single(whole.Tasks).Pieces.Count);
        DatasetSpec cut = BuildTests.Spec("inputs");
        cut.TaskBytes = 700;
        BuildPlan many = await _harness.PlanAsync(cut);
        Assert.True(many.Tasks.Count > 5);
        TaskCounts Sum(List<CompletionRecord> records)
        {
            var sum = new TaskCounts();
            records.ForEach(r => sum.Add(r.Counts));
            return sum;
        }

        TaskCounts a = Sum(await _harness.RunAsync(whole)), b = Sum(await _harness.RunAsync(many));
        Assert.Equal((a.LinesIn, a.TextBytes, a.Totals().TokensInRows), (b.LinesIn, b.TextBytes, b.Totals().TokensInRows));
        Assert.Equal(a.DocumentTokens, b.DocumentTokens);
    }

    [Fact]
    public async Task Globs_name_files_in_folders_and_across_them()
    {
        foreach (string key in new[] { "inputs/a.jsonl", "inputs/x/b.jsonl", "inputs/x/y/c.jsonl", "inputs/x/d.txt", "inputs/README" })
            await _harness.PutAsync(key, [.. Encoding.UTF8.GetBytes($$"""{"text":"{{key}}"}"""), (byte)'\n']);
        async Task<string[]> Keys(string source)
        {
            await _harness.PutAsync("tokenizers/t/tokenizer.json", "{}"u8.ToArray());
            return [.. (await new SpecChecker(_harness.Store).CheckAsync(BuildTests.Spec(source), Cancellation)).Select(f => f.Key["inputs/".Length..])];
        }

        Assert.Equal(["a.jsonl", "x/b.jsonl", "x/d.txt", "x/y/c.jsonl"], await Keys("inputs"));
        Assert.Equal(["a.jsonl"], await Keys("inputs/*.jsonl"));
        Assert.Equal(["x/b.jsonl"], await Keys("inputs/*/?.jsonl"));
        Assert.Equal(["a.jsonl", "x/b.jsonl", "x/y/c.jsonl"], await Keys("inputs/**/*.jsonl"));
    }

    [Fact]
    public async Task Fields_are_read_under_the_names_that_the_spec_gives_them()
    {
        await _harness.PutAsync("inputs/a.jsonl", """{"body":{"content":"abc"},"meta":{"kind":"law"},"text":"not this"}"""u8.ToArray());
        DatasetSpec spec = BuildTests.Spec("inputs/a.jsonl");
        spec.Fields = new FieldNames { Text = "body.content", Category = "meta.kind" };
        using PackedDataset dataset = await _harness.BuildAsync(spec);
        Assert.Equal("law", Assert.Single(dataset.Manifest.Categories).Key);
        Assert.Equal("abc", _harness.Tokenizer.Decode(dataset.Read(0).InputIds, true));
    }

    [Fact]
    public async Task Edges_are_as_the_spec_says()
    {
        await _harness.PutAsync("inputs/a.jsonl", """{"text":"abc"}"""u8.ToArray());
        DatasetSpec spec = BuildTests.Spec("inputs/a.jsonl");
        (spec.Bos, spec.Eos) = (EdgeToken.Never, EdgeToken.Always);
        using PackedDataset dataset = await _harness.BuildAsync(spec);
        PackedRow row = dataset.Read(0);
        Assert.Equal([3 + 'a', 3 + 'b', 3 + 'c', 2], row.InputIds);
        Assert.Equal([PackedRow.Ignored, .. row.InputIds[1..]], row.Labels);
    }

    [Fact]
    public async Task Damage_costs_what_lies_behind_it_and_is_told()
    {
        byte[] zipped = Compress(BuildTests.Lines(4000));
        await _harness.PutAsync("inputs/cut.jsonl.gz", zipped[..(zipped.Length / 2)]);
        await _harness.PutAsync("inputs/cut.json", """[{"text":"a"},{"text":"b"},{"text":"c"""u8.ToArray());
        await _harness.PutAsync("inputs/cut.jsonl.zst", new Compressor().Wrap(BuildTests.Lines(10)).ToArray()[..^9]);
        await _harness.PutAsync("inputs/none.parquet", "PAR1 but no more"u8.ToArray());
        await _harness.PutAsync("inputs/empty.jsonl", []);
        using PackedDataset dataset = await _harness.BuildAsync(BuildTests.Spec("inputs"));
        List<JsonElement> rejects = _harness.Rejects();
        Assert.Equal(
            [("inputs/cut.json", "MALFORMED_JSON"), ("inputs/cut.json", "MALFORMED_JSON"), ("inputs/cut.jsonl.gz", "DAMAGED_FILE"), ("inputs/cut.jsonl.zst", "DAMAGED_FILE"), ("inputs/none.parquet", "DAMAGED_FILE")],
            rejects.Select(r => (r.GetProperty("source").GetString()!, r.GetProperty("reason").GetString()!)));
        Assert.InRange(dataset.Manifest.Documents, 3, 3999);
        Assert.Equal(dataset.Manifest.LinesIn, dataset.Manifest.Documents + 5);
    }

    [Fact]
    public void A_line_longer_than_memory_allows_is_passed_over_in_bounded_memory()
    {
        using var stream = new LongLine(1L << 30, "{\"text\":\"a\"}\n"u8.ToArray());
        long before = GC.GetAllocatedBytesForCurrentThread();
        var records = new RecordStream(stream, isArray: false, 1 << 20);
        Assert.True(records.Next());
        Assert.Equal(1L << 30, records.TooLong);
        Assert.True(records.Next());
        Assert.Equal("{\"text\":\"a\"}", Encoding.UTF8.GetString(records.Record.Span));
        Assert.False(records.Next());
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 16 << 20);
    }

    [Fact]
    public void Elements_of_an_array_are_found_whatever_stands_in_strings()
    {
        const string Json = """ [ {"a":"]},{\"\\"} , [1,[2]],"x,y" ,3] trailing""";
        for (int chunk = 1; chunk < 9; chunk++)
        {
            var records = new RecordStream(new Chunked(Encoding.UTF8.GetBytes(Json), chunk), isArray: null, 1 << 20);
            var found = new List<string>();
            while (records.Next())
                found.Add(Encoding.UTF8.GetString(records.Record.Span).Trim());
            Assert.Equal(["""{"a":"]},{\"\\"}""", "[1,[2]]", "\"x,y\"", "3"], found);
        }
    }

    [Theory]
    [InlineData("""{"text":"changed to the same size."}""")]
    [InlineData("short")]
    public async Task A_file_that_changes_after_planning_is_an_error_and_nothing_is_published(string changed)
    {
        await _harness.PutAsync("inputs/a.jsonl", """{"text":"before, of a certain size"}"""u8.ToArray());
        BuildPlan plan = await _harness.PlanAsync(BuildTests.Spec("inputs/a.jsonl"));
        await _harness.PutAsync("inputs/a.jsonl", Encoding.UTF8.GetBytes(changed));
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => _harness.RunAsync(plan));
        Assert.Equal((FailureCode.FailedPrecondition, "SOURCE_CHANGED"), (e.Code, e.Reason));
        Assert.Contains("inputs/a.jsonl", e.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(_harness.Folder["objects"], "datasets")));
    }

    [Fact]
    public async Task The_same_content_under_two_names_is_refused()
    {
        await _harness.PutAsync("inputs/a.jsonl", BuildTests.Lines(3));
        await _harness.PutAsync("inputs/b.jsonl", BuildTests.Lines(3));
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => _harness.PlanAsync(BuildTests.Spec("inputs")));
        Assert.Equal("DUPLICATE_SOURCE", e.Reason);
        Assert.Contains("'inputs/b.jsonl' is 'inputs/a.jsonl'", e.Message, StringComparison.Ordinal);
    }

    private static async Task<byte[]> FileAsync(string name)
    {
        byte[] lines = BuildTests.Lines(40);
        string[] texts = [.. Encoding.UTF8.GetString(lines).TrimEnd('\n').Split('\n')];
        byte[] plain = name.StartsWith("array", StringComparison.Ordinal) ? Encoding.UTF8.GetBytes("[\n" + string.Join(",\n", texts) + "]\n") : lines;
        if (name.EndsWith(".parquet", StringComparison.Ordinal))
        {
            using var file = new MemoryStream();
            await ParquetSerializer.SerializeAsync(texts.Select(t => JsonSerializer.Deserialize<Line>(t)!), file, cancellationToken: Cancellation);
            return file.ToArray();
        }

        return name.EndsWith(".gz", StringComparison.Ordinal) ? Compress(plain) : name.EndsWith(".zst", StringComparison.Ordinal) ? new Compressor().Wrap(plain).ToArray() : plain;
    }

    private static byte[] Compress(byte[] bytes)
    {
        using var file = new MemoryStream();
        using (var gzip = new GZipStream(file, CompressionLevel.Fastest))
            gzip.Write(bytes);
        return file.ToArray();
    }

    private static List<int[]> Rows(PackedDataset dataset) => [.. Enumerable.Range(0, (int)dataset.RowCount).Select(i => dataset.Read(i).InputIds)];

    private sealed class Talk
    {
        [System.Text.Json.Serialization.JsonPropertyName("messages")]
        public List<Message> Messages { get; set; } = [];
    }

    private sealed class Message
    {
        [System.Text.Json.Serialization.JsonPropertyName("role")]
        public string Role { get; set; } = "";

        [System.Text.Json.Serialization.JsonPropertyName("content")]
        public string Content { get; set; } = "";
    }

    private sealed class Line
    {
        [System.Text.Json.Serialization.JsonPropertyName("text")]
        public string Text { get; set; } = "";

        [System.Text.Json.Serialization.JsonPropertyName("category")]
        public string Category { get; set; } = "";
    }

    /// <summary>Gives at most so many bytes at a time.</summary>
    private sealed class Chunked(byte[] bytes, int most) : MemoryStream(bytes)
    {
        public override int Read(byte[] buffer, int offset, int count) => base.Read(buffer, offset, Math.Min(count, most));
    }

    /// <summary>A line of so many bytes, made up as it is read, and what comes after it.</summary>
    private sealed class LongLine(long length, byte[] rest) : MemoryStream([(byte)'\n', .. rest])
    {
        private long _left = length;

        public override int Read(byte[] buffer, int offset, int count)
        {
            if (_left == 0)
                return base.Read(buffer, offset, count);
            int now = (int)Math.Min(_left, count);
            buffer.AsSpan(offset, now).Fill((byte)'x');
            _left -= now;
            return now;
        }
    }
}
