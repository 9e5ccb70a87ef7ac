package gss

// ChannelBindings tie a context to the channel that carries it (RFC 2743,
// section 1.1.6). Both sides give the same bindings, or the context fails.
// The address fields are those of RFC 2744, section 3.11; bindings to a TLS
// channel (RFC 5056) leave them zero and fill ApplicationData.
type ChannelBindings struct {
	InitiatorAddressType uint32
	InitiatorAddress     []byte
	AcceptorAddressType  uint32
	AcceptorAddress      []byte
	ApplicationData      []byte // for RFC 5056: the binding's type name, a colon, its bytes

	// Alternative is what an acceptor takes in place of these, such as bindings
	// of a weaker type, for initiators that know no other. Initiators leave it
	// nil: they have one sort to give.
	Alternative *ChannelBindings
}
