using Drover.Protocol;
using Google.Protobuf.Reflection;

namespace Drover.Architecture.Tests;

/// <summary>The rules of the public contract, held against the descriptors (what buf's STANDARD lint asks for).</summary>
public class ProtoTests
{
    private static readonly FileDescriptor[] Files = [.. DroverRpcs.Files.SelectMany(WithImports).Where(f => f.Package.StartsWith("drover.", StringComparison.Ordinal)).Distinct()];

    [Fact]
    public void Packages_are_versioned_and_match_their_folders()
    {
        foreach (FileDescriptor file in Files)
        {
            Assert.Matches("^drover\\.[a-z]+\\.v1$", file.Package);
            Assert.Equal(file.Package.Replace('.', '/'), Path.GetDirectoryName(file.Name));
        }
    }

    [Fact]
    public void Every_rpc_has_a_request_and_a_response_of_its_own()
    {
        foreach (MethodDescriptor method in DroverRpcs.Methods)
        {
            Assert.Equal(method.Name + "Request", method.InputType.Name);
            Assert.Equal(method.Name + "Response", method.OutputType.Name);
        }

        Assert.Equal(DroverRpcs.Methods.Count * 2, DroverRpcs.Methods.SelectMany(m => new[] { m.InputType.FullName, m.OutputType.FullName }).Distinct().Count());
    }

    [Fact]
    public void Every_create_takes_a_request_id()
    {
        foreach (MethodDescriptor method in DroverRpcs.Methods.Where(m => m.Name.StartsWith("Create", StringComparison.Ordinal)))
            Assert.NotNull(method.InputType.FindFieldByName("request_id"));
    }

    [Fact]
    public void Every_watch_streams_and_resumes_from_a_revision()
    {
        MethodDescriptor[] watches = [.. DroverRpcs.Methods.Where(m => m.Name.StartsWith("Watch", StringComparison.Ordinal))];
        Assert.NotEmpty(watches);
        foreach (MethodDescriptor method in watches)
        {
            Assert.True(method.IsServerStreaming);
            Assert.NotNull(method.InputType.FindFieldByName("from_revision"));
        }
    }

    [Fact]
    public void Enums_start_with_unspecified_and_carry_their_name()
    {
        IEnumerable<EnumDescriptor> enums = Files.SelectMany(f => f.EnumTypes.Concat(f.MessageTypes.SelectMany(m => m.EnumTypes)));
        foreach (EnumDescriptor type in enums)
        {
            string prefix = string.Concat(type.Name.Select((c, i) => (char.IsUpper(c) && i > 0 ? "_" : "") + char.ToUpperInvariant(c))) + "_";
            Assert.Equal(prefix + "UNSPECIFIED", type.FindValueByNumber(0).Name);
            Assert.All(type.Values, v => Assert.StartsWith(prefix, v.Name, StringComparison.Ordinal));
        }
    }

    private static IEnumerable<FileDescriptor> WithImports(FileDescriptor file) => [file, .. file.Dependencies.SelectMany(WithImports)];
}
