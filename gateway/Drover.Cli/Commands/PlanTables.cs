using System.Globalization;
using Drover.Protocol.Trainer.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary>A training plan as tables: ranks with their blocks and memory, and weights with their cuts.</summary>
internal static class PlanTables
{
    private static readonly (MemoryClass Class, string Title)[] Classes =
    [
        (MemoryClass.Weights, "weights"), (MemoryClass.Gradients, "gradients"), (MemoryClass.Optimizer, "optimizer"),
        (MemoryClass.Activations, "activations"), (MemoryClass.Buffers, "buffers"),
    ];

    /// <summary>Writes a plan: JSON with --json.</summary>
    public static void Write(CliContext context, TrainingPlan plan)
    {
        if (context.Json)
        {
            context.WriteJson(plan);
            return;
        }

        context.Output.WriteLine(Heading(plan));
        context.Terminal.Write(Ranks(plan));
        context.Output.WriteLine("Memory at most, rows full; (h) is in host memory. Logits come and go beside it: head_chunk_tokens makes them smaller.");
        context.Terminal.Write(Weights(plan));
        if (plan.Memory is { LimitBytes: > 0 } memory)
            context.Output.WriteLine($"{(memory.Fits ? "Fits" : "Does not fit")}: needs {Text.Bytes(memory.NeededBytes)} with processes and the copy for a checkpoint, of {Text.Bytes(memory.LimitBytes)}.");
        if (plan.Speed is { } speed)
            context.Output.WriteLine(speed.Missing.Length > 0 ? $"No speed is predicted: {speed.Missing}." : $"Predicted: {Text.Count(speed.TokensPerSecond)} tokens/s, {speed.StepSeconds.ToString("0.###", CultureInfo.InvariantCulture)} s a step, {Text.Bytes(speed.ResidentBytes)} resident in the largest rank.");
        if (plan.Proposals.Count > 0)
            context.Terminal.Write(Proposals(plan));
    }

    private static Table Proposals(TrainingPlan plan)
    {
        Table table = new Table().Border(TableBorder.Rounded).AddColumns("layout", "micro_batch_rows", "recompute", "head_chunk_tokens", "tokens/s", "needs");
        foreach (LayoutProposal proposal in plan.Proposals)
        {
            ParallelismSpec p = proposal.Parallelism;
            table.AddRow(new[]
            {
                $"{Word(p.Placement)}, tensor {p.TensorParallel}, pipeline {p.PipelineParallel}{(p.Equals(plan.Parallelism) ? " (the spec's)" : "")}",
                Text.Count(proposal.MicroBatchRows), proposal.Recompute ? "yes" : "no", Text.Count(proposal.HeadChunkTokens), Text.Count(proposal.TokensPerSecond), Text.Bytes(proposal.NeededBytes),
            }.Select(Markup.Escape).ToArray());
        }

        return table;
    }

    private static string Heading(TrainingPlan plan)
    {
        ParallelismSpec p = plan.Parallelism;
        string text = string.Create(CultureInfo.InvariantCulture, $"{plan.Ranks} ranks = {p.PipelineParallel} pipeline x {plan.DataParallel} data x {p.SequenceParallel} sequence x {p.TensorParallel} tensor; {p.Preset}, state {Word(p.Placement)}; {Text.Count(plan.WeightCount)} weights; a step is {plan.MicroBatches} micro-batches of {Text.Count(plan.MicroBatchTokens)} tokens a replica");
        return plan.PipelineBubble > 0 ? string.Create(CultureInfo.InvariantCulture, $"{text}; ranks of the pipeline wait {plan.PipelineBubble:0.0 %} of it") : text;
    }

    private static Table Ranks(TrainingPlan plan)
    {
        Table table = new Table().Border(TableBorder.Rounded).AddColumns("rank", "pp dp sp tp").AddColumn(new TableColumn("blocks").NoWrap());
        foreach ((_, string title) in Classes)
            table.AddColumn(new TableColumn(title).RightAligned());
        table.AddColumn(new TableColumn("sum").RightAligned());
        table.AddColumn(new TableColumn("logits").RightAligned());
        foreach (RankPlan rank in plan.RankPlans)
        {
            List<string> cells = [rank.Rank.ToString(CultureInfo.InvariantCulture), string.Create(CultureInfo.InvariantCulture, $"{rank.Pipeline}  {rank.Data}  {rank.Sequence}  {rank.Tensor}"), string.Join('\n', rank.Blocks)];
            cells.AddRange(Classes.Select(c => Bytes(rank, c.Class)));
            cells.Add(Text.Bytes(rank.DeviceBytes + rank.HostBytes));
            cells.Add(rank.LogitsBytes > 0 ? Text.Bytes(rank.LogitsBytes) : "");
            table.AddRow([.. cells.Select(Markup.Escape)]);
        }

        return table;
    }

    private static Table Weights(TrainingPlan plan)
    {
        Table table = new Table().Border(TableBorder.Rounded).AddColumns("weight", "of each", "shape", "cut", "on a rank");
        foreach (WeightPlan weight in plan.Weights)
        {
            string cut = !weight.HasCutDim ? "whole" : weight.CutDim == 0 ? "rows" : "columns";
            table.AddRow(new[] { weight.Name, Text.Count(weight.Count), Shape(weight.Shape), cut, Shape(weight.PartShape) }.Select(Markup.Escape).ToArray());
        }

        return table;
    }

    private static string Bytes(RankPlan rank, MemoryClass memoryClass) => string.Join(" + ", rank.Memory
        .Where(m => m.MemoryClass == memoryClass)
        .Select(m => Text.Bytes(m.Bytes) + (m.Place == MemoryPlace.Host ? " (h)" : "")));

    private static string Shape(IEnumerable<long> shape) => string.Join(" x ", shape.Select(n => n.ToString(CultureInfo.InvariantCulture)));

    private static string Word(StatePlacement placement) => placement.ToString().ToLowerInvariant();
}
