package gss

// An Attribute is a statement about a name that its mechanism vouches for
// (RFC 6680, section 2). A name may have several of the same Name.
type Attribute struct {
	Name    string // a URI as a rule, such as "urn:mspac:logon-info"
	Value   []byte // in the form that the attribute defines
	Display string // Value for people, on one line; empty where there is no such form

	Authenticated bool // an authority that the acceptor trusts has asserted it
	Complete      bool // these are all values of that Name
}

// Attributes are what a ticket or certificate says about its owner beside the
// name. They are decoded when they are asked for. The mechanism's package has
// them in types of its own.
type Attributes interface {
	// All gives the attributes, at each call in the same order (GSS_Inquire_name
	// and GSS_Get_name_attribute).
	All() []Attribute
}
