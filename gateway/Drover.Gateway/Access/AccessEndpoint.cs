using Drover.Errors;
using Drover.Hosting.Security;
using Drover.Protocol.Gateway.V1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Drover.Gateway.Access;

/// <summary>API keys: makes, lists, revokes.</summary>
internal sealed class AccessEndpoint(ApiKeyStore keys, TimeProvider time) : AccessService.AccessServiceBase
{
    private const int MaxNameLength = 100;

    public override async Task<CreateKeyResponse> CreateKey(CreateKeyRequest request, ServerCallContext context)
    {
        if (request.Name.Length is 0 or > MaxNameLength || request.Name.Any(char.IsControl))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_NAME", $"name must have 1 to {MaxNameLength} characters.");
        Scopes scopes = ScopeNames.Parse(request.Scopes);
        if (request.Lifetime is { } lifetime && lifetime.ToTimeSpan() <= TimeSpan.Zero)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_LIFETIME", "lifetime must be above zero; leave it out for a key that never expires.");
        string id = request.RequestId.Length > 0 ? ApiKey.IdOf(request.RequestId) : ApiKey.NewId();
        DateTimeOffset now = time.GetUtcNow();
        (ApiKey key, string text) = ApiKey.Make(id, request.Name, scopes, now, request.Lifetime is null ? null : now + request.Lifetime.ToTimeSpan());
        try
        {
            await keys.AddAsync(key, context.CancellationToken).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code == FailureCode.AlreadyExists)
        {
            throw new DroverException(e.Code, "REQUEST_ID_TAKEN", $"request_id '{request.RequestId}' has made key {id} before; its text was told once. Revoke it and make another with a new request id.", e);
        }

        return new CreateKeyResponse { Key = Describe(key), Text = text };
    }

    public override async Task<ListKeysResponse> ListKeys(ListKeysRequest request, ServerCallContext context) =>
        new() { Keys = { (await keys.ListAsync(context.CancellationToken).ConfigureAwait(false)).Select(Describe) } };

    public override async Task<RevokeKeyResponse> RevokeKey(RevokeKeyRequest request, ServerCallContext context) =>
        new() { Key = Describe(await keys.RevokeAsync(request.Id, context.CancellationToken).ConfigureAwait(false)) };

    private static Key Describe(ApiKey key)
    {
        var described = new Key { Id = key.Id, Name = key.Name, Scopes = { key.Scopes }, CreateTime = Timestamp.FromDateTimeOffset(key.CreateTime) };
        if (key.ExpireTime is { } expires)
            described.ExpireTime = Timestamp.FromDateTimeOffset(expires);
        if (key.RevokeTime is { } revoked)
            described.RevokeTime = Timestamp.FromDateTimeOffset(revoked);
        return described;
    }
}
