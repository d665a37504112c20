using Drover.Errors;

namespace Drover.Trainer.Collectives.Tests;

public sealed class NcclTests
{
    [Fact]
    public void A_machine_without_nccl_says_what_is_missing_and_what_to_do()
    {
        Assert.SkipWhen(Nccl.IsAvailable(out string reason), "this machine has NCCL");
        Assert.Matches("^(libcuda.so.1|libnccl.so.2|The NVIDIA driver) .*(Install it|nvidia-smi)", reason);
        using var host = new SingleRank();
        DroverException failure = Assert.Throws<DroverException>(() => Nccl.Join(host, 0));
        Assert.Equal(("NCCL_NOT_FOUND", reason), (failure.Reason, failure.Message));
    }
}
