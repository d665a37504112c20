using Drover.Gateway.Pipelines;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Protocol.Trainer.V1;

namespace Drover.Gateway.Tests;

public sealed class PipelineValidatorTests
{
    [Fact]
    public void Every_problem_is_told_at_once_with_its_field()
    {
        var spec = new PipelineSpec
        {
            Name = "Not Plain",
            Inputs = { ["corpus"] = "" },
            Steps =
            {
                new PipelineStep { Name = "a", Train = new TrainingSpec { Dataset = "${steps.b.dataset}", Tokenizer = "${inputs.nothing}" } },
                new PipelineStep { Name = "a", Expand = new ExpansionSpec { BaseTokenizer = "${steps.a.tokenizer}", Pieces = "${inputs.corpus" } },
                new PipelineStep { Name = "b" },
                new PipelineStep { Name = "c", TrainTokenizer = new TokenizerTrainingSpec { Sources = { "${inputs.corpus}", "${outputs}" } } },
            },
        };
        Assert.Equal(
            [
                "name: 'Not Plain' must be 1 to 60 lower-case letters, digits and dashes",
                "inputs.corpus is empty: give an object-store key or prefix",
                "steps[0].train.dataset: '${steps.b.dataset}' names a step that does not come before this one",
                "steps[0].train.tokenizer: '${inputs.nothing}' names no input; there are corpus",
                "steps[1].expand.base_tokenizer: '${steps.a.tokenizer}' is no output of step 'a'; its outputs are best_checkpoint, checkpoint, loss",
                "steps[1].expand.pieces: '${inputs.corpus' has a '${' without its '}'",
                "steps[1].name: 'a' is the name of an earlier step",
                "steps[2]: 'b' has no work; give it one of train_tokenizer, expand, prepare, train, evaluate, export",
                "steps[3].train_tokenizer.sources[1]: '${outputs}' must be ${inputs.<name>} or ${steps.<step>.<output>}",
            ],
            PipelineValidator.Check(spec));
    }

    [Fact]
    public void A_pipeline_without_steps_is_refused() =>
        Assert.Equal(["steps: a pipeline has at least one step"], PipelineValidator.Check(new PipelineSpec { Name = "a" }));

    [Fact]
    public void An_expansion_gives_a_model_only_when_it_was_given_one()
    {
        var spec = new PipelineSpec
        {
            Name = "a",
            Inputs = { ["t"] = "tokenizers/t" },
            Steps =
            {
                new PipelineStep { Name = "e", Expand = new ExpansionSpec { BaseTokenizer = "${inputs.t}", Pieces = "${inputs.t}" } },
                new PipelineStep { Name = "t", Train = new TrainingSpec { BaseModel = "${steps.e.model}" } },
            },
        };
        Assert.Contains("is no output of step 'e'", Assert.Single(PipelineValidator.Check(spec)), StringComparison.Ordinal);
        spec.Steps[0].Expand.BaseModel = "models/base";
        Assert.Empty(PipelineValidator.Check(spec));
    }
}
