using Drover.Cli.Pipelines;
using Drover.Errors;
using Drover.Protocol.DataPrep.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Trainer.V1;

namespace Drover.Gateway.Tests;

public sealed class PipelineFileTests
{
    [Fact]
    public void Every_kind_of_value_is_read()
    {
        PipelineSpec spec = PipelineFile.Parse("""
            name: all
            inputs: { a: b }
            steps:
              - name: rows
                prepare: { sources: [x, y], format: sft, maxLength: 12, task_bytes: 1_000_000 }
              - name: train
                train:
                  from_scratch: { config: c, seed: -3 }
                  precision: PRECISION_BF16
                  recompute: true
                  optimizer: { learning_rate: 2e-3, weight_decay: 0 }
            """, "p.yaml");
        Assert.Equal("b", spec.Inputs["a"]);
        Assert.Equal(["x", "y"], spec.Steps[0].Prepare.Sources);
        Assert.Equal(DatasetFormat.Sft, spec.Steps[0].Prepare.Format);
        Assert.Equal(12, spec.Steps[0].Prepare.MaxLength);
        Assert.Equal(1_000_000, spec.Steps[0].Prepare.TaskBytes);
        TrainingSpec train = spec.Steps[1].Train;
        Assert.Equal(-3, train.FromScratch.Seed);
        Assert.Equal(Precision.Bf16, train.Precision);
        Assert.True(train.Recompute);
        Assert.Equal(2e-3, train.Optimizer.LearningRate);
        Assert.True(train.Optimizer.HasWeightDecay);
        Assert.False(train.Optimizer.HasMaxGradNorm);
    }

    [Fact]
    public void Every_mistake_is_told_with_its_line()
    {
        DroverException e = Assert.Throws<DroverException>(() => PipelineFile.Parse("""
            name: bad
            stepz: []
            steps:
              - name: t
                train:
                  steps: many
                  precision: fp64
                  recompute: yes
                  base_model: a
                  checkpoint: b
                export: []
            """, "p.yaml"));
        Assert.Equal(FailureCode.InvalidArgument, e.Code);
        foreach (string part in (string[])
        [
            "line 2: unknown key 'stepz' in the pipeline", "line 6: 'steps' must be a whole number, not 'many'", "line 7: 'precision' is 'fp64'; it may be fp32, bf16",
            "line 8: 'recompute' must be true or false", "line 10: 'checkpoint' and 'base_model' exclude each other", "line 11: 'export' and 'train' exclude each other",
        ])
            Assert.Contains(part, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("name: [")]
    [InlineData("name: a\nname: b")]
    [InlineData("- a")]
    [InlineData("")]
    public void What_is_not_a_yaml_mapping_is_refused_with_the_files_name(string text)
    {
        DroverException e = Assert.Throws<DroverException>(() => PipelineFile.Parse(text, "p.yaml"));
        Assert.StartsWith("p.yaml", e.Message, StringComparison.Ordinal);
    }
}
