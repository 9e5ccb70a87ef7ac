package pushwire

const (
	// Version is the version of the encoding that this package speaks.
	Version = 1

	// MaxData is the longest data of a message that is published, sent or
	// signed, in octets. Servers have limits of their own below it. It
	// leaves a frame well below what a length of a message can say.
	MaxData = 1 << 20

	// MaxGroups is the highest number of groups in one message: as many as
	// anybody writes by hand, few enough to be checked one by one.
	MaxGroups = 256

	// MaxName is the longest name of a principal, in octets: more than a
	// Kerberos principal of 1,000 characters takes with every one of them escaped.
	MaxName = 4096

	// MaxText is the longest text meant for people, in octets.
	MaxText = 1024

	// MaxMICs is the highest number of results with a MIC in one token. The
	// mechanism's replay window is 64 tokens long.
	MaxMICs = 32

	// The highest numbers of stamps in a [Beacon], of positions and of gaps in one
	// message: what the length of a list can say.
	MaxStamps    = maxList / stampSize
	MaxPositions = maxList / positionSize
	MaxGaps      = maxList / gapSize

	// MaxToken is the longest message in a wrapped token, in octets: the
	// longest message of all, or many short ones.
	MaxToken = MaxData + 64<<10
)

// The longest list and the sizes of its elements, in octets.
const (
	maxList      = 1<<16 - 1
	stampSize    = 4 + 8
	positionSize = 8 + 4 + 8 + 1
	gapSize      = 8 + 4 + 8 + 8 + 1
)
