using System.Security.Cryptography;
using Drover.DataPrep.Lines;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Building;

/// <summary>Reads every source once, for its digest and its line ends, and cuts it into tasks.</summary>
internal sealed class BuildPlanner(IObjectStore store)
{
    private const int BufferBytes = 1 << 20;

    /// <summary>Longest line, and largest file that is one JSON array: such a piece is read into memory whole.</summary>
    private const long MaxWholeBytes = 256 << 20;

    /// <summary>Plans a build.</summary>
    /// <param name="spec">A checked spec.</param>
    /// <param name="files">Its source files.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="progress">Told the bytes read so far.</param>
    /// <param name="cancellation">Stops the reading.</param>
    public async Task<BuildPlan> PlanAsync(DatasetSpec spec, IReadOnlyList<string> files, ITextTokenizer tokenizer, Action<long> progress, CancellationToken cancellation)
    {
        var sources = new List<DatasetSource>();
        var tasks = new List<PlannedTask>();
        long taskBytes = spec.TaskBytes > 0 ? spec.TaskBytes : SpecChecker.DefaultTaskBytes;
        long before = 0;
        foreach (string file in files)
        {
            var cutter = new Cutter(file, sources.Count, taskBytes, tasks);
            sources.Add(await ScanAsync(file, cutter, n => progress(before + n), cancellation).ConfigureAwait(false));
            before += sources[^1].Bytes;
        }

        bool conversations = spec.Format == DatasetFormat.Sft;
        return new BuildPlan
        {
            Dataset = ObjectKey.Join("datasets", spec.Name),
            Format = conversations ? "sft" : "pretrain",
            Tokenizer = spec.Tokenizer,
            TokenizerHash = tokenizer.ContentHash,
            VocabularySize = tokenizer.VocabularySize,
            MaxLength = spec.MaxLength,
            Template = !conversations ? "" : spec.ConversationTemplate.Length > 0 ? spec.ConversationTemplate : ConversationTemplate.Default,
            Sources = sources,
            Tasks = tasks,
        };
    }

    private async Task<DatasetSource> ScanAsync(string file, Cutter cutter, Action<long> progress, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[BufferBytes];
        long total = 0;
        Stream stream = await store.OpenReadAsync(file, 0, null, cancellation).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            for (int read; (read = await stream.ReadAsync(buffer, cancellation).ConfigureAwait(false)) > 0;)
            {
                hash.AppendData(buffer, 0, read);
                cutter.Take(buffer.AsSpan(0, read));
                total += read;
                progress(total);
            }
        }

        cutter.Finish();
        return new DatasetSource(file, total, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    private sealed class Cutter(string file, int source, long taskBytes, List<PlannedTask> tasks)
    {
        private readonly bool _mayBeArray = file.EndsWith(".json", StringComparison.OrdinalIgnoreCase);
        private bool? _isArray;
        private long _position;
        private long _lineStart;
        private long _line = 1;
        private long _taskStart;
        private long _taskLine = 1;

        public void Take(ReadOnlySpan<byte> bytes)
        {
            _isArray ??= _mayBeArray && bytes.TrimStart(" \t\r\n\uFEFF"u8) is [(byte)'[', ..];
            while (!bytes.IsEmpty)
            {
                int end = _isArray.Value ? -1 : bytes.IndexOf((byte)'\n');
                int taken = end < 0 ? bytes.Length : end + 1;
                _position += taken;
                bytes = bytes[taken..];
                if (_position - _lineStart > MaxWholeBytes)
                    throw TooLong();
                if (end >= 0)
                    EndLine();
            }
        }

        public void Finish()
        {
            if (_position > _taskStart)
                tasks.Add(new PlannedTask(source, _taskStart, _position - _taskStart, _taskLine, _isArray ?? false));
        }

        private void EndLine()
        {
            _line++;
            _lineStart = _position;
            if (_position - _taskStart < taskBytes)
                return;
            Finish();
            _taskStart = _position;
            _taskLine = _line;
        }

        private DroverException TooLong() => _isArray == true
            ? new DroverException(FailureCode.InvalidArgument, "ARRAY_TOO_LARGE", $"'{file}' is one JSON array of more than {MaxWholeBytes} bytes. Write it as JSONL, one element a line.")
            : new DroverException(FailureCode.InvalidArgument, "LINE_TOO_LONG", $"Line {_line} of '{file}' is longer than {MaxWholeBytes} bytes. Is it JSONL?");
    }
}
