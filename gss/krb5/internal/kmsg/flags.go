package kmsg

// Ticket flags (RFC 4120, section 2 and 5.3; RFC 6806; RFC 8062), as
// EncTicketPart.Flags and KRBCredInfo.Flags hold them: bit 0 of the BIT STRING
// is the highest of the 32.
const (
	TicketForwardable            uint32 = 1 << (31 - 1)
	TicketForwarded              uint32 = 1 << (31 - 2)
	TicketProxiable              uint32 = 1 << (31 - 3)
	TicketProxy                  uint32 = 1 << (31 - 4)
	TicketMayPostdate            uint32 = 1 << (31 - 5)
	TicketPostdated              uint32 = 1 << (31 - 6)
	TicketInvalid                uint32 = 1 << (31 - 7)
	TicketRenewable              uint32 = 1 << (31 - 8)
	TicketInitial                uint32 = 1 << (31 - 9)
	TicketPreAuthent             uint32 = 1 << (31 - 10)
	TicketHWAuthent              uint32 = 1 << (31 - 11)
	TicketTransitedPolicyChecked uint32 = 1 << (31 - 12)
	TicketOKAsDelegate           uint32 = 1 << (31 - 13)
	TicketEncPARep               uint32 = 1 << (31 - 15)
	TicketAnonymous              uint32 = 1 << (31 - 16)
)

// APReq.Options (RFC 4120, section 5.5.1).
const (
	APUseSessionKey  uint32 = 1 << (31 - 1)
	APMutualRequired uint32 = 1 << (31 - 2)
)
