using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Unicode;
using Drover.DataPrep.Lines;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Tokenization;

namespace Drover.DataPrep.Building;

/// <summary>Does one task: reads its lines, tokenizes, packs, writes shard, rejects and, last, the completion record.</summary>
internal sealed class BuildTask(IObjectStore store, TokenizerCache tokenizers, string workFolder)
{
    private const int LinesPerReport = 256;

    /// <summary>Key of a task's rejected lines.</summary>
    public static string RejectsKey(BuildPlan plan, int task) =>
        ObjectKey.Join(plan.Dataset, "rejects", $"rejects-{task:d5}-of-{plan.Tasks.Count:d5}.jsonl");

    /// <summary>Does the task, or nothing when its record says that it is done.</summary>
    /// <param name="plan">The build.</param>
    /// <param name="task">Which of its tasks.</param>
    /// <param name="progress">Told the input bytes done.</param>
    /// <param name="cancellation">Stops the work; what is written by then is not trusted.</param>
    public async Task RunAsync(BuildPlan plan, int task, Action<long> progress, CancellationToken cancellation)
    {
        if (await CompletionRecord.FindAsync(store, plan, task, cancellation).ConfigureAwait(false) is not null)
            return;
        PlannedTask planned = plan.Tasks[task];
        string source = plan.Sources[planned.Source].Key;
        ITextTokenizer tokenizer = await tokenizers.GetAsync(plan, cancellation).ConfigureAwait(false);
        byte[] input = new byte[planned.Length];
        await store.ReadRangeAsync(source, planned.Offset, input, cancellation).ConfigureAwait(false);

        var output = new TaskOutput(source, planned.IsArray);
        ILineReader reader = plan.Format == "sft"
            ? new ConversationReader(tokenizer, ConversationTemplate.All[plan.Template], plan.MaxLength)
            : new PretrainReader(tokenizer);
        if (planned.IsArray)
            ReadArray(input, reader, output, progress, cancellation);
        else
            ReadLines(input, planned.FirstLine, reader, output, progress, cancellation);

        DatasetShard shard = await WriteShardAsync(plan, task, output, cancellation).ConfigureAwait(false);
        if (output.Rejects.Length > 0)
            await store.PutBytesAsync(RejectsKey(plan, task), output.Rejects, PutCondition.None, cancellation).ConfigureAwait(false);
        byte[] record = JsonSerializer.SerializeToUtf8Bytes(output.Record(plan, task, shard), BuildJson.Default.CompletionRecord);
        await store.PutBytesAsync(BuildKeys.Of(plan).Record(task), record, PutCondition.None, cancellation).ConfigureAwait(false);
    }

    private static void ReadLines(byte[] input, long firstLine, ILineReader reader, TaskOutput output, Action<long> progress, CancellationToken cancellation)
    {
        // A byte order mark is no part of the first line.
        int at = firstLine == 1 && input.AsSpan().StartsWith("\uFEFF"u8) ? 3 : 0;
        for (long line = firstLine; at < input.Length; line++)
        {
            int end = input.AsSpan(at).IndexOf((byte)'\n');
            ReadOnlyMemory<byte> bytes = input.AsMemory(at, end < 0 ? input.Length - at : end);
            at += bytes.Length + 1;
            if (!bytes.Span.Trim(" \t\r"u8).IsEmpty)
                ReadLine(line, bytes, reader, output);
            if (line % LinesPerReport == 0)
            {
                cancellation.ThrowIfCancellationRequested();
                progress(Math.Min(at, input.Length));
            }
        }
    }

    private static void ReadLine(long line, ReadOnlyMemory<byte> bytes, ILineReader reader, TaskOutput output)
    {
        try
        {
            using JsonDocument document = Parse(bytes);
            ReadElement(line, document.RootElement, reader, output);
        }
        catch (LineRejectedException e)
        {
            output.Reject(line, e.Reason, e.Message);
        }
    }

    private static void ReadArray(byte[] input, ILineReader reader, TaskOutput output, Action<long> progress, CancellationToken cancellation)
    {
        JsonDocument document;
        try
        {
            document = Parse(input.AsMemory(input.AsSpan().StartsWith("\uFEFF"u8) ? 3 : 0));
        }
        catch (LineRejectedException e)
        {
            output.Reject(1, e.Reason, e.Message);
            return;
        }

        using (document)
        {
            int count = document.RootElement.GetArrayLength();
            int index = 0;
            foreach (JsonElement element in document.RootElement.EnumerateArray())
            {
                ReadElement(++index, element, reader, output);
                if (index % LinesPerReport == 0)
                {
                    cancellation.ThrowIfCancellationRequested();
                    progress((long)input.Length * index / count);
                }
            }
        }
    }

    private static void ReadElement(long line, JsonElement element, ILineReader reader, TaskOutput output)
    {
        try
        {
            if (element.ValueKind != JsonValueKind.Object)
                throw JsonFields.WrongType("line", "an object", element);
            output.Add(line, reader.Read(element));
        }
        catch (LineRejectedException e)
        {
            output.Reject(line, e.Reason, e.Message);
        }
    }

    private static JsonDocument Parse(ReadOnlyMemory<byte> bytes)
    {
        if (!Utf8.IsValid(bytes.Span))
            throw new LineRejectedException(RejectReasons.InvalidUtf8, "the bytes are not UTF-8");
        try
        {
            return JsonDocument.Parse(bytes);
        }
        catch (JsonException e)
        {
            throw new LineRejectedException(RejectReasons.MalformedJson, e.Message);
        }
    }

    private async Task<DatasetShard> WriteShardAsync(BuildPlan plan, int task, TaskOutput output, CancellationToken cancellation)
    {
        Directory.CreateDirectory(workFolder);
        string temporary = Path.Combine(workFolder, $"shard-{Guid.NewGuid():N}");
        var file = new FileStream(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 20, FileOptions.DeleteOnClose | FileOptions.Asynchronous);
        await using (file.ConfigureAwait(false))
        {
            using var writer = new ArrowRowWriter(file);
            output.WriteRows(writer, plan.MaxLength, cancellation);
            writer.Finish();
            if (file.Length > int.MaxValue)
                throw new DroverException(FailureCode.FailedPrecondition, "SHARD_TOO_LARGE", $"Task {task} of '{plan.Dataset}' gives a shard of {file.Length} bytes; at most {int.MaxValue} can be read. Choose a smaller task_bytes.");
            file.Position = 0;
            string digest = Convert.ToHexStringLower(await SHA256.HashDataAsync(file, cancellation).ConfigureAwait(false));
            file.Position = 0;
            string name = HuggingFaceDatasetFiles.ShardName(task, plan.Tasks.Count);
            long length = file.Length;
            await store.PutAsync(ObjectKey.Join(plan.Dataset, name), file, PutCondition.None, cancellation).ConfigureAwait(false);
            return new DatasetShard(name, writer.Rows, length, digest);
        }
    }
}
