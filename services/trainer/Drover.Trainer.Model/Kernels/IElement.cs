using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Drover.Trainer.Model.Kernels;

/// <summary>A type that values are stored in; computing is in fp32, 16 values at a time.</summary>
internal unsafe interface IElement<TSelf>
    where TSelf : unmanaged, IElement<TSelf>
{
    /// <summary>16 values.</summary>
    static abstract Vector512<float> Load(TSelf* from);

    /// <summary>16 values, rounded to nearest, ties to even.</summary>
    static abstract void Store(TSelf* to, Vector512<float> values);

    /// <summary>One value.</summary>
    static abstract float Read(TSelf value);

    /// <summary>One value, rounded to nearest, ties to even.</summary>
    static abstract TSelf Round(float value);
}

/// <summary>Fp32.</summary>
internal readonly struct Fp32 : IElement<Fp32>
{
    private readonly float _value;

    private Fp32(float value) => _value = value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector512<float> Load(Fp32* from) => Vector512.Load((float*)from);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Store(Fp32* to, Vector512<float> values) => values.Store((float*)to);

    public static float Read(Fp32 value) => value._value;

    public static Fp32 Round(float value) => new(value);
}

/// <summary>Bf16: the upper half of an fp32 value.</summary>
internal readonly struct Bf16 : IElement<Bf16>
{
    private const uint NotANumber = 0x7FC0;
    private readonly ushort _bits;

    private Bf16(ushort bits) => _bits = bits;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector512<float> Load(Bf16* from)
    {
        Vector256<ushort> bits = Vector256.Load((ushort*)from);
        Vector512<uint> wide = Avx512F.IsSupported ? Avx512F.ConvertToVector512UInt32(bits) : Vector512.Create(Vector256.WidenLower(bits), Vector256.WidenUpper(bits));
        return (wide << 16).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Store(Bf16* to, Vector512<float> values)
    {
        Vector512<uint> bits = values.AsUInt32();
        Vector512<uint> rounded = (bits + Vector512.Create(0x7FFFu) + ((bits >>> 16) & Vector512<uint>.One)) >>> 16;
        rounded = Vector512.ConditionalSelect(Vector512.Equals(values, values).AsUInt32(), rounded, Vector512.Create(NotANumber));
        Vector256<ushort> narrow = Avx512F.IsSupported ? Avx512F.ConvertToVector256UInt16(rounded) : Vector256.Narrow(rounded.GetLower(), rounded.GetUpper());
        narrow.Store((ushort*)to);
    }

    public static float Read(Bf16 value) => BitConverter.UInt32BitsToSingle((uint)value._bits << 16);

    public static Bf16 Round(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return new Bf16((ushort)(float.IsNaN(value) ? NotANumber : (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16));
    }
}
