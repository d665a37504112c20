using Drover.Errors;
using Drover.Protocol.Common.V1;
using Drover.Testing;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Drover.Jobs.Tests;

public sealed class JobQueueTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public void The_same_request_id_and_spec_make_one_job()
    {
        using JobQueue queue = Open();
        JobEntry first = queue.Create("work", "r1", Spec("a"));
        JobEntry second = queue.Create("work", "r1", Spec("a"));
        Assert.Equal(first.Job.Name, second.Job.Name);
        Assert.Single(queue.List("", 0, "").Jobs);
    }

    [Fact]
    public void A_request_id_with_another_spec_is_refused_and_names_the_job()
    {
        using JobQueue queue = Open();
        JobEntry first = queue.Create("work", "r1", Spec("a"));
        DroverException e = Assert.Throws<DroverException>(() => queue.Create("work", "r1", Spec("b")));
        Assert.Equal(FailureCode.AlreadyExists, e.Code);
        Assert.Contains(first.Job.Name, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_watch_sees_every_revision_once_and_ends_with_the_job()
    {
        using JobQueue queue = Open();
        var executor = new Scripted((job, _) =>
        {
            for (int i = 0; i < 600; i++)
                job.Log(LogLine.Types.Severity.Info, $"line {i}");
            return Task.FromResult("done");
        });
        string name = queue.Create("work", "", Spec("a")).Job.Name;
        Task<List<JobEvent>> watch = CollectAsync(queue, name, 0);
        await RunUntilEndedAsync(queue, executor, name);
        List<JobEvent> events = await watch;
        Assert.Equal(Enumerable.Range(1, events.Count).Select(i => (long)i), events.Select(e => e.Revision));
        Assert.Equal(603, events.Count);
        Assert.Equal(JobState.Succeeded, events[^1].StateChanged);
        Assert.Equal("done", queue.Get(name, "").Result<StringValue>()!.Value);

        List<JobEvent> rest = await CollectAsync(queue, name, 600);
        Assert.Equal([601L, 602, 603], rest.Select(e => e.Revision));
    }

    [Fact]
    public async Task A_revision_in_the_future_is_out_of_range()
    {
        using JobQueue queue = Open();
        string name = queue.Create("work", "", Spec("a")).Job.Name;
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => CollectAsync(queue, name, 99));
        Assert.Equal(FailureCode.OutOfRange, e.Code);
    }

    [Fact]
    public async Task A_job_that_ran_when_the_service_stopped_runs_again_with_the_next_attempt()
    {
        string name;
        using (JobQueue queue = Open())
        {
            name = queue.Create("work", "", Spec("a")).Job.Name;
            var started = new TaskCompletionSource();
            var endless = new Scripted(async (_, cancellation) =>
            {
                started.SetResult();
                await Task.Delay(Timeout.Infinite, cancellation);
                return "never";
            });
            using JobRunner runner = Runner(queue, endless);
            await runner.StartAsync(Cancellation);
            await started.Task.WaitAsync(Cancellation);
            await runner.StopAsync(Cancellation);
            Assert.Equal(JobState.Queued, queue.Get(name, "").Job.State);
        }

        using JobQueue reopened = Open();
        int attempt = 0;
        await RunUntilEndedAsync(reopened, new Scripted((job, _) => Task.FromResult($"{attempt = job.Attempt}")), name);
        Assert.Equal(2, attempt);
        Assert.Equal(JobState.Succeeded, reopened.Get(name, "").Job.State);
    }

    [Fact]
    public async Task Cancel_ends_a_running_job_as_cancelled_and_keeps_a_result_that_it_still_gives()
    {
        using JobQueue queue = Open();
        var started = new TaskCompletionSource();
        var graceful = new Scripted(async (_, cancellation) =>
        {
            started.SetResult();
            await Task.Delay(Timeout.Infinite, cancellation).ContinueWith(_ => { }, TaskScheduler.Default);
            return "what was done so far";
        });
        string name = queue.Create("work", "", Spec("a")).Job.Name;
        using JobRunner runner = Runner(queue, graceful);
        await runner.StartAsync(Cancellation);
        await started.Task.WaitAsync(Cancellation);
        Assert.Equal(JobState.Cancelling, queue.Cancel(name, "work").Job.State);
        await CollectAsync(queue, name, 0);
        await runner.StopAsync(Cancellation);
        JobEntry ended = queue.Get(name, "");
        Assert.Equal(JobState.Cancelled, ended.Job.State);
        Assert.Equal("what was done so far", ended.Result<StringValue>()!.Value);
    }

    [Fact]
    public async Task A_failure_keeps_code_reason_and_message_and_a_fault_shows_no_stack_trace()
    {
        using JobQueue queue = Open();
        string user = queue.Create("work", "", Spec("a")).Job.Name;
        await RunUntilEndedAsync(queue, new Scripted((_, _) => throw new DroverException(FailureCode.NotFound, "GONE", "There is no 'x'.")), user);
        JobFailure failure = queue.Get(user, "").Job.Failure;
        Assert.Equal(((int)FailureCode.NotFound, "GONE", "There is no 'x'."), (failure.Code, failure.Reason, failure.Message));

        string fault = queue.Create("work", "", Spec("b")).Job.Name;
        await RunUntilEndedAsync(queue, new Scripted((_, _) => throw new InvalidOperationException("boom")), fault);
        Assert.Equal((int)FailureCode.Internal, queue.Get(fault, "").Job.Failure.Code);
        Assert.DoesNotContain("   at ", queue.Get(fault, "").Job.Failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_expected_failure_is_one_line_in_the_log_and_a_fault_comes_with_its_stack_trace()
    {
        using JobQueue queue = Open();
        var log = new KeptLog<JobRunner>();
        var expected = new DroverException(FailureCode.NotFound, "GONE", "There is no 'x'.", new IOException("underneath"));
        await RunUntilEndedAsync(queue, new Scripted((_, _) => throw expected), queue.Create("work", "", Spec("a")).Job.Name, log);
        (string line, Exception? inner) = Assert.Single(log.Errors);
        Assert.EndsWith("failed: There is no 'x'.", line, StringComparison.Ordinal);
        Assert.Null(inner);

        var fault = new InvalidOperationException("boom");
        await RunUntilEndedAsync(queue, new Scripted((_, _) => throw fault), queue.Create("work", "", Spec("b")).Job.Name, log);
        Assert.Same(fault, log.Errors[^1].Exception);
    }

    [Fact]
    public void Pages_hold_every_job_once_newest_first()
    {
        using JobQueue queue = Open();
        List<string> names = [.. Enumerable.Range(0, 7).Select(i => queue.Create("work", $"r{i}", Spec("a")).Job.Name)];
        var seen = new List<string>();
        string token = "";
        do
        {
            JobPage page = queue.List("work", 3, token);
            seen.AddRange(page.Jobs.Select(j => j.Job.Name));
            token = page.NextPageToken;
        }
        while (token.Length > 0);
        names.Reverse();
        Assert.Equal(names, seen);
    }

    [Fact]
    public void The_state_table_has_exactly_the_documented_transitions()
    {
        var allowed = from a in System.Enum.GetValues<JobState>()
                      from b in System.Enum.GetValues<JobState>()
                      where JobStates.MayFollow(a, b)
                      select $"{a}>{b}";
        Assert.Equal(
            [
                "Queued>Running", "Queued>Cancelled", "Queued>Paused", "Running>Queued", "Running>Succeeded", "Running>Failed", "Running>Cancelling", "Running>Pausing",
                "Cancelling>Succeeded", "Cancelling>Failed", "Cancelling>Cancelled",
                "Pausing>Succeeded", "Pausing>Failed", "Pausing>Cancelling", "Pausing>Paused", "Paused>Queued", "Paused>Cancelled",
            ],
            allowed);
    }

    [Fact]
    public async Task A_paused_job_stands_until_it_is_resumed_and_goes_on_with_the_next_attempt()
    {
        using JobQueue queue = Open();
        var attempts = new List<int>();
        var started = new SemaphoreSlim(0);
        var work = new Scripted(async (job, cancellation) =>
        {
            attempts.Add(job.Attempt);
            started.Release();
            if (job.Attempt == 1)
                await Task.Delay(Timeout.Infinite, cancellation);
            return "done";
        });
        string name = queue.Create("work", "", Spec("a")).Job.Name, waits = queue.Create("work", "", Spec("b")).Job.Name;
        Assert.Equal(JobState.Paused, queue.Pause(waits, "work").Job.State);
        using JobRunner runner = Runner(queue, work);
        await runner.StartAsync(Cancellation);
        await started.WaitAsync(Cancellation);
        Assert.Equal(JobState.Pausing, queue.Pause(name, "work").Job.State);
        await UntilAsync(queue, name, JobState.Paused);
        Assert.Equal((1, JobState.Paused), (attempts.Count, queue.Get(waits, "").Job.State));

        queue.Resume(name, "work");
        await CollectAsync(queue, name, 0);
        Assert.Equal([1, 2], attempts);
        Assert.Equal(JobState.Succeeded, queue.Get(name, "").Job.State);
        Assert.Equal(JobState.Succeeded, queue.Resume(name, "work").Job.State);
        Assert.Equal(JobState.Cancelled, queue.Cancel(waits, "work").Job.State);
        await runner.StopAsync(Cancellation);
    }

    [Fact]
    public void A_database_has_one_process_and_the_next_one_is_told_so()
    {
        using (Open())
            Assert.Equal("DATABASE_IN_USE", Assert.Throws<DroverException>(() => Open()).Reason);
        Open().Dispose();
    }

    [Fact]
    public void A_paused_job_is_still_paused_after_a_restart_and_one_that_was_on_its_way_there_too()
    {
        string paused, pausing;
        using (JobQueue queue = Open())
        {
            paused = queue.Create("work", "", Spec("a")).Job.Name;
            queue.Pause(paused, "work");
            pausing = queue.Create("work", "", Spec("b")).Job.Name;
            queue.Update(pausing, job => queue.Move(job, JobState.Running));
            Assert.Equal(JobState.Pausing, queue.Pause(pausing, "work").Job.State);
            Assert.Equal("JOB_IS_PAUSING", Assert.Throws<DroverException>(() => queue.Resume(pausing, "work")).Reason);
        }

        using JobQueue reopened = Open();
        Assert.Equal((JobState.Paused, JobState.Paused), (reopened.Get(paused, "").Job.State, reopened.Get(pausing, "").Job.State));
    }

    public void Dispose() => _folder.Dispose();

    private static StringValue Spec(string text) => new() { Value = text };

    private static JobRunner Runner(JobQueue queue, IJobExecutor executor, ILogger<JobRunner>? log = null) =>
        new(queue, [executor], new JobsOptions { Slots = 1 }, TimeProvider.System, log ?? NullLogger<JobRunner>.Instance);

    private static async Task<List<JobEvent>> CollectAsync(JobQueue queue, string name, long from)
    {
        var events = new List<JobEvent>();
        await foreach (JobEvent update in queue.WatchAsync(name, "", from, Cancellation))
            events.Add(update);
        return events;
    }

    private static async Task UntilAsync(JobQueue queue, string name, JobState state)
    {
        await foreach (JobEvent update in queue.WatchAsync(name, "", 0, Cancellation))
        {
            if (update.EventCase == JobEvent.EventOneofCase.StateChanged && update.StateChanged == state)
                return;
        }

        Assert.Fail($"'{name}' ended before it was {state}");
    }

    private static async Task RunUntilEndedAsync(JobQueue queue, IJobExecutor executor, string name, ILogger<JobRunner>? log = null)
    {
        using JobRunner runner = Runner(queue, executor, log);
        await runner.StartAsync(Cancellation);
        await CollectAsync(queue, name, 0);
        await runner.StopAsync(Cancellation);
    }

    private JobQueue Open() => new(new JobsOptions { DatabasePath = _folder["jobs.db"] }, TimeProvider.System);

    private sealed class Scripted(Func<JobContext, CancellationToken, Task<string>> run) : JobExecutor<StringValue, StringValue>
    {
        public override string Kind => "work";

        public override async Task<StringValue> RunAsync(JobContext job, StringValue spec, CancellationToken cancellation) =>
            new() { Value = await run(job, cancellation) };
    }
}
