using System.Reflection;
using Drover.Checkpoint;
using Drover.DataPrep;
using Drover.Discovery;
using Drover.Errors;
using Drover.Gateway;
using Drover.Hosting.Security;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Testing;
using Drover.Trainer;

namespace Drover.Hosting.Tests;

public sealed class ConfigurationTests
{
    [Theory]
    [InlineData("Drover", typeof(DroverOptions))]
    [InlineData("ObjectStore", typeof(ObjectStoreOptions))]
    [InlineData("Discovery", typeof(DiscoveryOptions))]
    [InlineData("Security", typeof(SecurityOptions))]
    [InlineData("Jobs", typeof(JobsOptions))]
    [InlineData("Gateway", typeof(GatewayOptions))]
    [InlineData("DataPrep", typeof(DataPrepOptions))]
    [InlineData("Trainer", typeof(TrainerOptions))]
    public void The_keys_of_a_section_are_its_options(string section, Type options) =>
        Assert.Equal(
            options.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.CanWrite).Select(p => p.Name).Order(StringComparer.Ordinal),
            ConfigurationKeys.Sections[section].Order(StringComparer.Ordinal));

    [Fact]
    public void Every_unknown_key_is_named_at_once_with_those_that_there_are()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["drover.json"], """{ "Trainer": { "MpirunPth": "mpirun" }, "Jobs": { "Slots": 2 }, "Storage": { "Folder": "x" } }""");
        DroverException refused = Assert.Throws<DroverException>(() => CheckpointModule.Build(["--config", folder["drover.json"], $"--Drover:DataFolder={folder.Path}", "--DataFolder=y", "--Services:trainr=http://127.0.0.1:1"]));
        Assert.Equal(FailureCode.InvalidArgument, refused.Code);
        Assert.Contains("'Trainer:MpirunPth' is no key; Trainer has WorkerPath, MpirunPath", refused.Message, StringComparison.Ordinal);
        Assert.Contains("'Storage:Folder' is no key; there are the sections Drover,", refused.Message, StringComparison.Ordinal);
        Assert.Contains("'DataFolder' is no key", refused.Message, StringComparison.Ordinal);
        Assert.Contains("'Services:trainr' is no key; Services has gateway, tokenizer,", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("Slots' is no key", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Keys_of_another_service_and_levels_of_the_log_are_taken()
    {
        using var folder = new TemporaryFolder();
        await using var service = CheckpointModule.Build([$"--Drover:DataFolder={folder.Path}", "--Trainer:MpirunPath=mpirun", "--Logging:LogLevel:Default=Warning"]);
        Assert.NotNull(service);
    }

    [Fact]
    public void Options_that_are_printed_show_no_secret()
    {
        const string Secret = "a-secret-that-nobody-may-see";
        string printed = $"{new SecurityOptions { ServiceKey = Secret, AdminKey = Secret }} {new ObjectStoreOptions { S3AccessKey = Secret, S3SecretKey = Secret, S3Bucket = "shown" }} {new DiscoveryOptions { ConsulToken = Secret }}";
        Assert.DoesNotContain(Secret, printed, StringComparison.Ordinal);
        Assert.Contains("shown", printed, StringComparison.Ordinal);
    }
}
