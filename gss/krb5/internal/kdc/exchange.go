package kdc

import (
	"context"
	"errors"
)

// Exchange sends an encoded request to the KDCs of realm and gives the first
// answer: an AS-REP, TGS-REP or KRB-ERROR by its outer tag and length, with its
// contents unchecked.
func (c *Client) Exchange(ctx context.Context, realm string, request []byte) ([]byte, error) {
	return nil, errors.ErrUnsupported
}
