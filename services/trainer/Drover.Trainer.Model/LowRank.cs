using Drover.Formats.Adapters;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// LoRA beside the products of a half block that share their input x. With x' = dropout(x), W x the product, s the scale:
/// <code>
///  LoRA  y = W x + s B A x'
///  DoRA  y = W x + (g - 1) u + g s B A x'   with u = W x' and g = magnitude / |W + s B A|, row by row, a constant for gradients (section 4.3)
/// </code>
/// (Hu et al., 2021; Liu et al., 2024; what dropout does to u is PEFT's choice.) One mask serves all products of the input. Nothing but
/// DoRA's u + s B A x' is kept for the backward pass: the rest is cheap to do again. Where ranks hold columns of W, the results are parts of a
/// sum like the product itself, so that no exchange is added but that of |W + s B A|.
/// </summary>
internal sealed class LowRank
{
    private readonly BlockWeights _weights;
    private readonly LoraSpec _lora;
    private readonly string _place;
    private readonly IHalfBlockBorders? _columnsOver;
    private readonly Product[] _products;
    private readonly TorchSharp.Scalar _scale;

    private LowRank(BlockWeights weights, LoraSpec lora, string place, IHalfBlockBorders? columnsOver, Product[] products) =>
        (_weights, _lora, _place, _columnsOver, _products, _scale) = (weights, lora, place, columnsOver, products, lora.Scale);

    /// <summary>The adapters of some products; null where none has one.</summary>
    /// <param name="weights">Of the block.</param>
    /// <param name="lora">Null for none.</param>
    /// <param name="modules">Of the products, in the order of their results: "model.layers.0.self_attn.q_proj".</param>
    /// <param name="columnsOver">Who sums over the ranks that hold columns of the weights; null where ranks hold rows.</param>
    public static LowRank? Of(BlockWeights weights, LoraSpec? lora, string[] modules, IHalfBlockBorders? columnsOver)
    {
        if (lora is null)
            return null;
        Product[] products = [.. modules.Select(m => m + ".weight").Select(w => new Product(w, lora.IsTarget(w)))];
        return products.Any(p => p.IsAdapted) ? new LowRank(weights, lora, modules[0], columnsOver, products) : null;
    }

    /// <summary>Adds to the results of the products, in place.</summary>
    /// <param name="x">Their input, [tokens, in].</param>
    /// <param name="y">Their results side by side, bias included, [tokens, out].</param>
    /// <param name="batch">The micro-batch.</param>
    /// <returns>What the backward pass needs, in the caller's dispose scope.</returns>
    public Kept Forward(Tensor x, Tensor y, BatchContext batch)
    {
        Tensor dropped = Mask(x, batch) is { } mask ? x * mask : x;
        Tensor t = dropped.matmul(AllOfA().t());
        var kept = new List<KeptOfProduct>();
        int i = 0;
        foreach ((Product product, long first, long count) in Placed())
        {
            Tensor part = y.narrow(1, first, count);
            if (!product.IsAdapted)
                continue;
            Tensor added = t.narrow(1, _lora.Rank * i++, _lora.Rank).matmul(_weights[product.B].t()).mul_(_scale);
            if (_lora.Dora)
                kept.Add(AddDora(product, x, dropped, part, added));
            else
                part.add_(added, HeldScalars.One);
        }

        return new Kept(kept);
    }

    /// <summary>The gradient that goes back through the products themselves, given that of the results.</summary>
    public Tensor OfProducts(Tensor gradient, Kept kept, BatchContext batch)
    {
        // Without dropout u is the product: its factor g is all of the difference.
        if (!_lora.Dora || IsDropping(batch))
            return gradient;
        Tensor scaled = gradient.clone();
        int i = 0;
        foreach ((Product product, long first, long count) in Placed().Where(p => p.Product.IsAdapted))
            scaled.narrow(1, first, count).mul_(kept.Products[i++].Factor);
        return scaled;
    }

    /// <summary>Adds the gradients of the adapters to <paramref name="flat"/>, and what goes back through them to that of the input.</summary>
    /// <param name="gradient">Of the results, [tokens, out].</param>
    /// <param name="x">The input.</param>
    /// <param name="kept">Of the forward pass.</param>
    /// <param name="batch">The micro-batch.</param>
    /// <param name="dx">Gradient of the input by way of the products: changed in place.</param>
    /// <param name="flat">Flat gradient of the block.</param>
    public void Backward(Tensor gradient, Tensor x, Kept kept, BatchContext batch, Tensor dx, Tensor flat)
    {
        Tensor? mask = Mask(x, batch);
        Tensor dropped = mask is null ? x : x * mask;
        Tensor t = dropped.matmul(AllOfA().t());
        Tensor dt = empty_like(t);
        Tensor? throughWeights = null;
        int i = 0;
        foreach ((Product product, long first, long count) in Placed().Where(p => p.Product.IsAdapted))
        {
            Tensor dy = gradient.narrow(1, first, count);
            if (_lora.Dora)
            {
                KeptOfProduct its = kept.Products[i];
                _weights.GradientOf(flat, product.Magnitude, product.Magnitude)?.add_((dy * its.Unscaled).sum(0, type: ScalarType.Float32).div_(its.Norm), HeldScalars.One);
                if (mask is not null)
                    throughWeights = Sum(throughWeights, (dy * its.Factor.sub(HeldScalars.One)).matmul(_weights[product.Weight]));
                dy = dy * its.Factor;
            }

            dt.narrow(1, _lora.Rank * i, _lora.Rank).copy_(dy.matmul(_weights[product.B]).mul_(_scale));
            Gradients.AddProduct(_weights.GradientOf(flat, product.B, product.B), dy, t.narrow(1, _lora.Rank * i, _lora.Rank), _lora.Scale);
            i++;
        }

        Product[] adapted = [.. _products.Where(p => p.IsAdapted)];
        Gradients.AddProduct(_weights.GradientOf(flat, adapted[0].A, adapted[^1].A), dt, dropped);
        Tensor back = Sum(throughWeights, dt.matmul(AllOfA()));
        dx.add_(mask is null ? back : back.mul_(mask), HeldScalars.One);
    }

    private static Tensor Sum(Tensor? sum, Tensor more) => sum is null ? more : sum.add_(more, HeldScalars.One);

    private KeptOfProduct AddDora(Product product, Tensor x, Tensor dropped, Tensor part, Tensor added)
    {
        Tensor weight = _weights[product.Weight];
        Tensor norm = Norm(weight, product), factor = _weights[product.Magnitude].to(ScalarType.Float32).div(norm).to(x.dtype);
        Tensor u = ReferenceEquals(x, dropped) ? WithoutBias(part, product) : dropped.matmul(weight.t());
        part.add_(factor.sub(HeldScalars.One) * u, HeldScalars.One).add_(added * factor, HeldScalars.One);
        return new KeptOfProduct(u.add_(added, HeldScalars.One), factor, norm);
    }

    // Where ranks hold columns, biases are added after the sum over the ranks.
    private Tensor WithoutBias(Tensor part, Product product) =>
        _columnsOver is null && _weights.Find(AdapterTensors.ModuleOf(product.Weight) + ".bias") is { } bias ? part - bias : part.clone();

    // |W + s B A| of each row, [out], fp32, without a tensor of the weight's size: |W|^2 + 2 s (W A') . B + s^2 (B A A') . B, row by row.
    private Tensor Norm(Tensor weight, Product product)
    {
        Tensor a = _weights[product.A], b = _weights[product.B].to(ScalarType.Float32);
        Tensor cross = weight.matmul(a.t()).to(ScalarType.Float32).mul_(b).sum(1), squared = b.matmul(a.matmul(a.t()).to(ScalarType.Float32)).mul_(b).sum(1);
        using TorchSharp.Scalar twice = 2 * _lora.Scale, square = _lora.Scale * _lora.Scale, least = 1e-30;
        Tensor sum = AtenScripts.RowSquares(weight).add(cross.mul(twice), HeldScalars.One).add(squared.mul(square), HeldScalars.One);
        _columnsOver?.SumOverParts(sum);
        // Rounded as the lengths are, so that both are equal where nothing was trained yet.
        return sum.clamp_(min: least).sqrt_().to(weight.dtype).to(ScalarType.Float32);
    }

    private bool IsDropping(BatchContext batch) => _lora.Dropout > 0 && batch.Dropout is not null;

    private Tensor? Mask(Tensor x, BatchContext batch)
    {
        if (!IsDropping(batch))
            return null;
        LocalWeight a = _weights.Weights.First(w => w.Name == _products.First(p => p.IsAdapted).A);
        return batch.Dropout!.Of(_place, a.GlobalShape[1], a.Offset[1], a.Shape[1], x.dtype);
    }

    // [rank x products, in]: they follow each other.
    private Tensor AllOfA() => _weights.Stacked(_products.First(p => p.IsAdapted).A, _products.Last(p => p.IsAdapted).A);

    private IEnumerable<(Product Product, long First, long Count)> Placed()
    {
        long first = 0;
        foreach (Product product in _products)
        {
            long count = _weights[product.Weight].shape[0];
            yield return (product, first, count);
            first += count;
        }
    }

    private sealed record Product(string Weight, bool IsAdapted)
    {
        public string A { get; } = AdapterTensors.NameOfA(Weight);

        public string B { get; } = AdapterTensors.NameOfB(Weight);

        public string Magnitude { get; } = AdapterTensors.NameOfMagnitude(Weight);
    }

    /// <summary>What the backward pass needs of each product with DoRA; empty for LoRA.</summary>
    internal sealed record Kept(IReadOnlyList<KeptOfProduct> Products)
    {
        public IEnumerable<Tensor> Tensors => Products.SelectMany(p => new[] { p.Unscaled, p.Factor, p.Norm });
    }

    /// <param name="Unscaled">u + s B A x', [tokens, out].</param>
    /// <param name="Factor">g, [out], in the type of compute.</param>
    /// <param name="Norm">|W + s B A|, [out], fp32.</param>
    internal sealed record KeptOfProduct(Tensor Unscaled, Tensor Factor, Tensor Norm);
}
