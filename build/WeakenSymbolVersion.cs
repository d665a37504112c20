using System;
using System.IO;
using System.Text;
using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

/// <summary>Marks one needed symbol version of a 64-bit little-endian ELF library as weak. Doing it twice is doing it once.</summary>
public class WeakenSymbolVersion : Task
{
    private const uint SectionVerneed = 0x6ffffffe;
    private const ushort FlagWeak = 2;

    /// <summary>Path of the library; replaced by a changed copy, never written in place (it may be a hard link).</summary>
    [Required]
    public string Library { get; set; }

    /// <summary>E.g. GLIBCXX_3.4.32.</summary>
    [Required]
    public string Version { get; set; }

    public override bool Execute()
    {
        byte[] file = File.ReadAllBytes(Library);
        int flags = FindFlags(file);
        if (flags < 0 || (BitConverter.ToUInt16(file, flags) & FlagWeak) != 0)
            return true;
        file[flags] |= (byte)FlagWeak;
        string temporary = Library + "." + Guid.NewGuid().ToString("N");
        File.WriteAllBytes(temporary, file);
        File.Delete(Library);
        File.Move(temporary, Library);
        Log.LogMessage(MessageImportance.Low, "Marked {0} as weak in {1}", Version, Library);
        return true;
    }

    // Offset of vna_flags of the version in .gnu.version_r, or -1.
    private int FindFlags(byte[] file)
    {
        long sections = BitConverter.ToInt64(file, 0x28);
        int size = BitConverter.ToUInt16(file, 0x3A), count = BitConverter.ToUInt16(file, 0x3C);
        for (int i = 0; i < count; i++)
        {
            int header = checked((int)(sections + (long)i * size));
            if (BitConverter.ToUInt32(file, header + 4) != SectionVerneed)
                continue;
            int strings = Offset(file, sections, size, (int)BitConverter.ToUInt32(file, header + 40));
            int need = (int)BitConverter.ToInt64(file, header + 24);
            for (uint next = 1; next != 0; need += (int)next)
            {
                int aux = need + (int)BitConverter.ToUInt32(file, need + 8);
                for (uint nextAux = 1; nextAux != 0; aux += (int)nextAux)
                {
                    if (NameAt(file, strings + (int)BitConverter.ToUInt32(file, aux + 8)) == Version)
                        return aux + 4;
                    nextAux = BitConverter.ToUInt32(file, aux + 12);
                }

                next = BitConverter.ToUInt32(file, need + 12);
            }
        }

        return -1;
    }

    private static int Offset(byte[] file, long sections, int size, int section) =>
        (int)BitConverter.ToInt64(file, checked((int)(sections + (long)section * size)) + 24);

    private static string NameAt(byte[] file, int offset) =>
        Encoding.ASCII.GetString(file, offset, Array.IndexOf(file, (byte)0, offset) - offset);
}
