namespace Drover.Hosting.Security;

/// <summary>Who may call, and how connections are protected. Configuration section "Security".</summary>
public sealed record SecurityOptions
{
    /// <summary>"keys": nothing is answered without a key but health. "none": everybody may do everything; on loopback addresses only.</summary>
    public string Authentication { get; set; } = "keys";

    /// <summary>
    /// What services show each other where they do not use TLS; the same in all of them. Empty: a file that the services of one data folder
    /// share, made at the first start.
    /// </summary>
    public string ServiceKey { get; set; } = "";

    /// <summary>A first key with all rights, for installations that bring their own. Empty: the gateway makes one, in access/admin.key of its data folder.</summary>
    public string AdminKey { get; set; } = "";

    /// <summary>Certificate (PEM, with its chain) that this service shows to callers and to services that it calls. Needed where its address is https.</summary>
    public string CertificateFile { get; set; } = "";

    /// <summary>The certificate's private key (PEM).</summary>
    public string PrivateKeyFile { get; set; } = "";

    /// <summary>
    /// Certificates (PEM) of the authority that signs Drover's services and nothing else: who shows a certificate of it is a service.
    /// Needed where an address of the table is https.
    /// </summary>
    public string AuthorityFile { get; set; } = "";

    /// <summary>Calls that one key may begin in a second, in the long run; it may save up for four seconds.</summary>
    public int RequestsPerSecond { get; set; } = 200;

    /// <summary>File that is appended a line of JSON for every call that changes something and every refusal. Empty: access/audit-&lt;service&gt;.jsonl of the data folder; "none": nowhere.</summary>
    public string AuditFile { get; set; } = "";

    // A record prints its members; these three are secrets or lead to one.
    private bool PrintMembers(System.Text.StringBuilder text)
    {
        text.Append(System.Globalization.CultureInfo.InvariantCulture, $"Authentication = {Authentication}, ServiceKey = {Hidden(ServiceKey)}, AdminKey = {Hidden(AdminKey)}, CertificateFile = {CertificateFile}, AuthorityFile = {AuthorityFile}, RequestsPerSecond = {RequestsPerSecond}, AuditFile = {AuditFile}");
        return true;
    }

    private static string Hidden(string secret) => secret.Length == 0 ? "" : "***";
}
