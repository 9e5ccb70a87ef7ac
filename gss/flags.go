package gss

import "strings"

// Flags are the services of a context (RFC 2743, section 1.2; RFC 2744,
// appendix A, whose bit values these are).
type Flags uint32

const (
	Delegation       Flags = 0x1    // the initiator's credential is delegated, to any service
	Mutual           Flags = 0x2    // the acceptor proves who it is, too
	ReplayDetection  Flags = 0x4    // duplicate per-message tokens are found
	Sequencing       Flags = 0x8    // tokens out of order are found, too
	Confidentiality  Flags = 0x10   // Wrap can seal
	Integrity        Flags = 0x20   // MIC and Wrap are available
	Anonymous        Flags = 0x40   // the initiator's name is not shown
	ProtReady        Flags = 0x80   // per-message calls already work
	Transferable     Flags = 0x100  // the context can be exported
	ChannelBound     Flags = 0x800  // both sides' channel bindings were equal
	DelegationPolicy Flags = 0x8000 // it is delegated to services that the KDC marks ok-as-delegate; beside Delegation it restricts nothing (RFC 5896)
	DCEStyle         Flags = 0x1000 // three legs without framing, as DCE RPC has it (MS-KILE)
)

// DefaultFlags are what a [Request] that names none asks for.
const DefaultFlags = Mutual | ReplayDetection | Sequencing | Confidentiality | Integrity

var flagNames = []struct {
	flag Flags
	name string
}{
	{Delegation, "GSS_C_DELEG_FLAG"},
	{Mutual, "GSS_C_MUTUAL_FLAG"},
	{ReplayDetection, "GSS_C_REPLAY_FLAG"},
	{Sequencing, "GSS_C_SEQUENCE_FLAG"},
	{Confidentiality, "GSS_C_CONF_FLAG"},
	{Integrity, "GSS_C_INTEG_FLAG"},
	{Anonymous, "GSS_C_ANON_FLAG"},
	{ProtReady, "GSS_C_PROT_READY_FLAG"},
	{Transferable, "GSS_C_TRANS_FLAG"},
	{ChannelBound, "GSS_C_CHANNEL_BOUND_FLAG"},
	{DCEStyle, "GSS_C_DCE_STYLE"},
	{DelegationPolicy, "GSS_C_DELEG_POLICY_FLAG"},
}

// Names gives the RFC 2744 names of the flags that are set, in the order of
// their bits.
func (f Flags) Names() []string {
	var names []string
	for _, n := range flagNames {
		if f&n.flag != 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// String joins the names of the flags by "|".
func (f Flags) String() string { return strings.Join(f.Names(), "|") }
