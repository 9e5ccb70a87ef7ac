package dtls_test

import (
	"context"
	"log"
	"os"
	"os/signal"

	"github.com/countersign-go/countersign/server/dtls"
	"github.com/countersign-go/countersign/server/dtls/psk"
)

// A server for the identities of a file, until it is interrupted.
func Example() {
	keys, warning, err := psk.Load("/etc/countersign/psk", false)
	if err != nil {
		log.Fatal(err)
	}
	if warning != "" {
		log.Print(warning)
	}
	srv, err := dtls.New(dtls.Config{Key: keys.Key, Event: dtls.NewPrinter(os.Stderr)})
	if err != nil {
		log.Fatal(err)
	}
	if err := srv.Listen(":4447"); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := srv.Serve(ctx); err != nil {
		log.Fatal(err)
	}
}
