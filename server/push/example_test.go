package push_test

import (
	"context"
	"errors"
	"log"

	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// A program of its own: groups at the start, everybody in one of them on arrival, and
// some who may not publish.
func Example() {
	acceptor, err := krb5.NewAcceptor(krb5.AcceptorConfig{})
	if err != nil {
		log.Fatal(err)
	}
	service, err := push.New(push.Config{
		Acceptor:  acceptor,
		LocalName: acceptor.LocalName,
		Setup: func(h *push.Hub) error {
			return h.SetGroups([]push.Group{{Number: 1, Name: "R&D Department"}, {Number: 2, Name: "Management"}})
		},
		Allowed: func(user string, group uint32, right pushwire.Right) bool {
			return right == pushwire.Read || user == "boss@EXAMPLE.COM"
		},
		Hooks: push.Hooks{
			Arrive: func(_ context.Context, m *push.Member) error { return m.Subscribe(1) },
			Send: func(_ context.Context, _ *push.Member, _ string, data []byte) error {
				if len(data) == 0 {
					return errors.New("say something")
				}
				return nil
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()
	srv, err := server.New(server.Config{Service: service})
	if err != nil {
		log.Fatal(err)
	}
	// srv.Run serves the listeners. Meanwhile:
	_ = srv
	if _, err := service.Hub().Publish(context.Background(), []byte("coffee is ready"), 1, 2); err != nil {
		log.Print(err)
	}
}
