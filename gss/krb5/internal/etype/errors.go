package etype

// A failure is an error in MIT krb5's words.
type failure string

func (f failure) Error() string { return string(f) }

// What can be told apart with errors.Is; see also [UnsupportedError].
const (
	// ErrIntegrity reports a ciphertext whose MAC does not verify: another
	// key, another key usage, or altered bytes.
	ErrIntegrity = failure("Decrypt integrity check failed")
	// ErrTooShort reports a ciphertext, or a buffer to seal, that has no room
	// for confounder and MAC.
	ErrTooShort = failure("Message size is incompatible with encryption type")
	// ErrKeySize reports a key that is not KeySize bytes long.
	ErrKeySize = failure("Key size is incompatible with encryption type")
	// ErrParams reports s2kparams that are malformed or ask for too much work.
	ErrParams = failure("Invalid key generation parameters from KDC")
	// ErrNoneNamed reports an enctype list that selects nothing at all.
	ErrNoneNamed = failure("No supported encryption types (config file error?)")
	// ErrCleared reports the use of a Cipher after Clear.
	ErrCleared = failure("Cipher used after its keys were cleared")
)
