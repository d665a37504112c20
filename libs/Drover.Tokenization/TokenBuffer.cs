using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Drover.Tokenization;

/// <summary>Ids in the order in which they were appended. Reuse one for many texts: it keeps its memory.</summary>
public sealed class TokenBuffer
{
    private int[] _ids = new int[256];

    /// <summary>Number of ids.</summary>
    public int Count { get; private set; }

    /// <summary>The ids; valid until the next change.</summary>
    public ReadOnlySpan<int> Ids => _ids.AsSpan(0, Count);

    /// <summary>The same.</summary>
    public ReadOnlyMemory<int> Memory => _ids.AsMemory(0, Count);

    /// <summary>Forgets all ids.</summary>
    public void Clear() => Count = 0;

    /// <summary>Appends an id.</summary>
    public void Add(int id)
    {
        Reserve(1) = id;
        Count++;
    }

    /// <summary>Appends ids.</summary>
    public void Add(ReadOnlySpan<int> ids)
    {
        ids.CopyTo(MemoryMarshal.CreateSpan(ref Reserve(ids.Length), ids.Length));
        Count += ids.Length;
    }

    /// <summary>A copy of the ids.</summary>
    public int[] ToArray() => Ids.ToArray();

    /// <summary>Makes room for more ids, written from the returned place on and then counted by <see cref="Advance"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ref int Reserve(int more)
    {
        if (Count + more > _ids.Length)
            Grow(more);
        return ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_ids), Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Advance(int by) => Count += by;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Grow(int more) => Array.Resize(ref _ids, checked((int)Math.Min(Array.MaxLength, Math.Max((long)Count + more, 2L * _ids.Length))));
}
