using Drover.Protocol.Common.V1;

namespace Drover.Jobs.Tests;

public sealed class WaitingJobsTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_higher_priority_goes_first_then_the_owner_with_the_fewest_running_then_the_oldest()
    {
        var waiting = new WaitingJobs(JobCapacity.Unlimited);
        foreach ((string name, string owner, int priority) in new[] { ("a1", "anna", 0), ("a2", "anna", 0), ("a3", "anna", 0), ("b1", "ben", 0), ("low", "cleo", -1), ("b2", "ben", 0), ("high", "anna", 5) })
            waiting.Add(new Job { Name = name, Owner = owner, Priority = priority });
        Assert.Equal(["high", "b1", "a1", "b2", "a2", "a3", "low"], await TakeAsync(waiting, 7));
    }

    [Fact]
    public async Task The_first_waits_for_its_cores_and_nobody_passes_it()
    {
        var waiting = new WaitingJobs(new JobCapacity(8, 100));
        waiting.Add(new Job { Name = "six", Cores = 6, MemoryBytes = 10 });
        waiting.Add(new Job { Name = "four", Cores = 4, MemoryBytes = 10 });
        waiting.Add(new Job { Name = "one", Cores = 1, MemoryBytes = 95 });
        Assert.Equal("six", await waiting.TakeAsync(Cancellation));
        Task<string> next = waiting.TakeAsync(Cancellation);
        Assert.False(next.IsCompleted);
        waiting.End("six");
        Assert.Equal("four", await next);
        next = waiting.TakeAsync(Cancellation);
        // Cores are free, memory is not.
        Assert.False(next.IsCompleted);
        waiting.End("four");
        Assert.Equal("one", await next);
    }

    [Fact]
    public async Task A_job_that_asks_for_more_than_there_is_runs_alone_and_one_that_counts_nothing_runs_beside_it()
    {
        var waiting = new WaitingJobs(new JobCapacity(2, 100));
        waiting.Add(new Job { Name = "large", Cores = 16, MemoryBytes = 1000 });
        waiting.Add(new Job { Name = "evaluation" });
        Assert.Equal(["large", "evaluation"], await TakeAsync(waiting, 2));
    }

    [Fact]
    public void Whatever_comes_and_goes_every_job_runs_once_and_never_more_than_there_is()
    {
        const int total = 6;
        for (int seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var waiting = new WaitingJobs(new JobCapacity(total, 0));
            Job[] jobs = [.. Enumerable.Range(0, random.Next(1, 30)).Select(i => new Job { Name = $"{i}", Owner = $"{random.Next(3)}", Priority = random.Next(-2, 3), Cores = random.Next(total + 1) })];
            Array.ForEach(jobs, waiting.Add);
            var running = new List<Job>();
            var seen = new HashSet<string>(StringComparer.Ordinal);
            while (seen.Count < jobs.Length)
            {
                if (waiting.TryTake() is { } name)
                {
                    Assert.True(seen.Add(name), $"seed {seed}: {name} ran twice");
                    running.Add(jobs.Single(job => job.Name == name));
                    Assert.True(running.Sum(job => job.Cores) <= total, $"seed {seed}");
                    continue;
                }

                Assert.NotEmpty(running);
                Job ended = running[random.Next(running.Count)];
                running.Remove(ended);
                waiting.End(ended.Name);
            }
        }
    }

    private static async Task<List<string>> TakeAsync(WaitingJobs waiting, int count)
    {
        var names = new List<string>();
        while (names.Count < count)
            names.Add(await waiting.TakeAsync(Cancellation));
        return names;
    }
}
