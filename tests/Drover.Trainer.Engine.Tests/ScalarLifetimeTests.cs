using System.Reflection;
using System.Reflection.Emit;
using TorchSharp;

namespace Drover.Trainer.Engine.Tests;

/// <summary>
/// TorchSharp frees a scalar in its finalizer, also while the library reads it (see <see cref="Model.HeldScalars"/>). It went wrong about once in 2,000
/// runs of a strategy, as a number that had turned into garbage. So no method of the engine makes one and hands it over in the same breath.
/// </summary>
public class ScalarLifetimeTests
{
    private static readonly Dictionary<short, OpCode> OpCodesByValue = typeof(OpCodes).GetFields().Select(f => (OpCode)f.GetValue(null)!).ToDictionary(code => code.Value);

    [Fact]
    public void Every_scalar_is_held_until_the_call_that_reads_it_is_over()
    {
        Assembly[] engine = [typeof(Model.HeldScalars).Assembly, typeof(Parallelism.BlockState).Assembly, typeof(TrainingEngine).Assembly];
        string[] offences = [.. engine.SelectMany(a => a.GetTypes()).SelectMany(MethodsOf).Where(HandsOverAScalar).Select(m => $"{m.DeclaringType}.{m.Name}")];
        Assert.True(offences.Length == 0, $"These make a scalar that nobody holds ('using Scalar held = ...', or HeldScalars):\n{string.Join('\n', offences)}");
    }

    [Fact]
    public void The_rule_sees_what_it_should()
    {
        Assert.True(HandsOverAScalar(((Func<torch.Tensor, torch.Tensor>)(x => x.mul_(0.5))).Method));
        Assert.True(HandsOverAScalar(((Func<torch.Tensor, torch.Tensor>)(x => x * 2)).Method));
        Assert.True(HandsOverAScalar(((Func<torch.Tensor, torch.Tensor>)(x => x + x)).Method));
        Assert.True(HandsOverAScalar(((Func<torch.Tensor, double>)(x => x.ToDouble())).Method));
        Assert.False(HandsOverAScalar(((Func<torch.Tensor, torch.Tensor>)(x =>
        {
            using Scalar held = 0.5;
            return x.mul_(held);
        })).Method));
    }

    [Fact]
    public async Task The_numbers_of_a_script_outlive_a_collection_in_the_middle_of_its_call()
    {
        using var over = new CancellationTokenSource();
        Task collecting = Task.Run(() =>
        {
            while (!over.IsCancellationRequested)
            {
                GC.Collect(0);
                Thread.Sleep(0);
            }
        }, TestContext.Current.CancellationToken);
        using torch.Tensor x = torch.ones([2, 4], device: torch.CPU), weight = torch.ones([4], device: torch.CPU);
        for (int call = 0; call < 3_000; call++)
        {
            using var scope = torch.NewDisposeScope();
            Assert.Equal(0.5f, Model.AtenScripts.RmsNorm(x, weight, 3).Result[0, 0].item<float>(), 6);
        }

        await over.CancelAsync();
        await collecting;
    }

    private static IEnumerable<MethodBase> MethodsOf(Type type)
    {
        const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;
        return type.GetMethods(All).Concat<MethodBase>(type.GetConstructors(All));
    }

    // A conversion to Scalar that is not put into a local or a field at once; or a method of Tensor that makes one of its own: operators with numbers, and sums without a factor.
    private static bool HandsOverAScalar(MethodBase method)
    {
        (OpCode Code, int Token)[] instructions = [.. InstructionsOf(method)];
        for (int index = 0; index < instructions.Length; index++)
        {
            if (instructions[index].Code.FlowControl != FlowControl.Call || Called(method, instructions[index].Token) is not { } called)
                continue;
            bool makesScalar = called.DeclaringType == typeof(Scalar) && called.Name == "op_Implicit";
            bool isHeld = makesScalar && instructions[index + 1].Code.Name!.StartsWith("st", StringComparison.Ordinal);
            if ((makesScalar && !isHeld) || ((called.DeclaringType == typeof(torch.Tensor) || called.DeclaringType == typeof(TensorExtensionMethods)) && MakesItsOwn(called)))
                return true;
        }
        return false;
    }

    private static bool MakesItsOwn(MethodBase operation) => operation.Name switch
    {
        "ToSingle" or "ToDouble" or "ToInt64" or "ToInt32" or "ToBoolean" => operation.DeclaringType == typeof(TensorExtensionMethods),
        "op_Addition" => true,
        "add" or "add_" => operation.GetParameters().Length == 1,
        "addcdiv" or "addcdiv_" or "addcmul" or "addcmul_" => operation.GetParameters().Length == 2,
        _ => operation.Name.StartsWith("op_", StringComparison.Ordinal) && operation.GetParameters().Any(p => p.ParameterType.IsPrimitive),
    };

    private static MethodBase? Called(MethodBase method, int token)
    {
        try
        {
            return method.Module.ResolveMethod(token, method.DeclaringType?.GetGenericArguments(), method.IsGenericMethod ? method.GetGenericArguments() : null);
        }
        catch (ArgumentException)
        {
            return null; // a stand-alone signature (calli)
        }
    }

    private static IEnumerable<(OpCode Code, int Token)> InstructionsOf(MethodBase method)
    {
        byte[] il = method.GetMethodBody()?.GetILAsByteArray() ?? [];
        for (int at = 0; at < il.Length;)
        {
            short value = il[at] == 0xFE ? (short)(0xFE00 | il[at + 1]) : il[at];
            OpCode code = OpCodesByValue[value];
            at += code.Size;
            int token = code.OperandType is OperandType.InlineMethod ? BitConverter.ToInt32(il, at) : 0;
            yield return (code, token);
            at += code.OperandType switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                OperandType.InlineSwitch => 4 + 4 * BitConverter.ToInt32(il, at),
                _ => 4,
            };
        }
    }
}
