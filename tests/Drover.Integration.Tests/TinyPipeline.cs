using System.Globalization;
using System.Text;

namespace Drover.Integration.Tests;

/// <summary>The whole workflow, tiny: a corpus of simple sentences, a model of two layers, a few steps.</summary>
internal static class TinyPipeline
{
    private static readonly string[] Who = ["the cat", "the dog", "a bird", "my friend", "the old man"];
    private static readonly string[] Does = ["sees", "likes", "follows", "finds", "knows"];
    private static readonly string[] What = ["the red ball", "a small house", "the blue door", "some bread", "the river"];

    /// <summary>Writes the pipeline and its inputs.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="ranks">Ranks of the second training.</param>
    /// <param name="steps">Optimizer steps of the second training.</param>
    /// <param name="lines">Documents of the corpus.</param>
    /// <param name="taskBytes">Size of a task of data preparation; 0: the default.</param>
    /// <returns>Path of the YAML file.</returns>
    public static string Write(string folder, int ranks, int steps, int lines = 400, int taskBytes = 0)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "corpus.jsonl"), Corpus(lines));
        File.WriteAllText(Path.Combine(folder, "pieces.txt"), "redball\nbluedoor\nriverbread\n");
        File.WriteAllText(Path.Combine(folder, "config.json"), """
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "max_position_embeddings": 128,
             "initializer_range": 0.02, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2}
            """);
        string path = Path.Combine(folder, "pipeline.yaml");
        File.WriteAllText(path, string.Create(CultureInfo.InvariantCulture, $$$"""
            name: tiny
            inputs: { corpus: ./corpus.jsonl, pieces: ./pieces.txt, config: ./config.json }
            steps:
              - name: learn
                train_tokenizer: { sources: "${inputs.corpus}", vocabulary_size: 320 }
              - name: base-rows
                prepare: { tokenizer: "${steps.learn.tokenizer}", sources: "${inputs.corpus}", format: pretrain, max_length: 64, task_bytes: {{{taskBytes}}} }
              - name: base-run
                train:
                  from_scratch: { config: "${inputs.config}", seed: 1 }
                  tokenizer: "${steps.learn.tokenizer}"
                  dataset: "${steps.base-rows.dataset}"
                  steps: 8
                  global_batch_rows: 4
                  micro_batch_rows: 2
                  ranks: 1
                  precision: fp32
                  optimizer: { learning_rate: 1e-2 }
              - name: base
                export: { checkpoint: "${steps.base-run.checkpoint}", tokenizer: "${steps.learn.tokenizer}", data_type: fp32 }
              - name: grow
                expand: { base_tokenizer: "${steps.base.model}", base_model: "${steps.base.model}", pieces: "${inputs.pieces}" }
              - name: rows
                prepare: { tokenizer: "${steps.grow.tokenizer}", sources: "${inputs.corpus}", format: pretrain, max_length: 64 }
              - name: before
                evaluate: { model: "${steps.grow.model}", dataset: "${steps.rows.dataset}", precision: fp32, micro_batch_rows: 4 }
              - name: train
                train:
                  base_model: "${steps.grow.model}"
                  tokenizer: "${steps.grow.tokenizer}"
                  dataset: "${steps.rows.dataset}"
                  steps: {{{steps}}}
                  global_batch_rows: 4
                  micro_batch_rows: 2
                  ranks: {{{ranks}}}
                  precision: fp32
                  optimizer: { learning_rate: 1e-2 }
              - name: result
                export: { checkpoint: "${steps.train.checkpoint}", tokenizer: "${steps.grow.tokenizer}" }
              - name: after
                evaluate: { model: "${steps.result.model}", dataset: "${steps.rows.dataset}", precision: fp32, micro_batch_rows: 4 }
            """));
        return path;
    }

    private static string Corpus(int lines)
    {
        var text = new StringBuilder();
        for (int i = 0; i < lines; i++)
            text.AppendLine(CultureInfo.InvariantCulture, $$"""{"text": "{{Who[i % 5]}} {{Does[i / 5 % 5]}} {{What[i / 25 % 5]}} and {{Who[(i + 2) % 5]}} {{Does[i / 7 % 5]}} {{What[i / 3 % 5]}}."}""");
        return text.ToString();
    }
}
