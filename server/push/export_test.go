package push

import "github.com/countersign-go/countersign/token"

// Memory is what is held for what is being read.
func (v *Service) Memory() *token.Budget { return v.memory }
