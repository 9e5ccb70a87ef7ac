package push

import "github.com/countersign-go/countersign/token"

// Memory is what is held for what is being read.
func (v *Service) Memory() *token.Budget { return v.memory }

// Receiver is what a bus is joined with.
func (h *Hub) Receiver() Receiver { return receiver{h} }

// Origins is the number of other servers that are known.
func (h *Hub) Origins() int {
	h.origins.mu.Lock()
	defer h.origins.mu.Unlock()
	return len(h.origins.known)
}

// Users is the number of names that are known.
func (h *Hub) Users() int {
	h.users.mu.Lock()
	defer h.users.mu.Unlock()
	return len(h.users.byName)
}
