// Package pac reads the privilege attribute certificate that Active Directory,
// Samba, FreeIPA and MIT KDCs put into tickets (MS-PAC): who the client is by
// SID, and in which groups.
//
// # How the data flows
//
// [Find] takes the PAC out of a ticket's authorization data. [Parse] splits it
// into its buffers, [PAC.Verify] checks the signature that the KDC made with
// the service's key, and [PAC.CheckClient] that the PAC belongs to the ticket.
// Only then is there reason to look at what it says: [PAC.ClientInfo],
// [PAC.UPNInfo], [PAC.LogonInfo].
//
// The KDC's own signature is made with a key that no service has. It is not
// verified here, and neither are the ticket signature and the full checksum,
// which are the KDC's to check too.
//
// The logon information is in NDR, which gokrb5 decodes, after its lengths and
// counts have been checked: gokrb5 allocates what a count announces before it
// reads what is there.
package pac
