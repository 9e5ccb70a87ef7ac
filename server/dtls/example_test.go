package dtls_test

import (
	"context"
	"log"
	"os"
	"os/signal"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/dtls"
	"github.com/countersign-go/countersign/server/dtls/psk"
	"github.com/countersign-go/countersign/server/echo"
)

// An engine that echoes to the identities of a file, until it is interrupted.
// Listeners of other transports could be given to Run, too.
func Example() {
	keys, warning, err := psk.Load("/etc/countersign/psk", false)
	if err != nil {
		log.Fatal(err)
	}
	if warning != "" {
		log.Print(warning)
	}
	transport, err := dtls.New(dtls.Config{Key: keys.Key, Event: dtls.NewPrinter(os.Stderr)})
	if err != nil {
		log.Fatal(err)
	}
	l, err := transport.Listen(":4447")
	if err != nil {
		log.Fatal(err)
	}
	engine, err := server.New(server.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := engine.Run(ctx, &server.Listener{Listener: l, Service: echo.New(echo.Config{Ack: true})}); err != nil {
		log.Fatal(err)
	}
}
