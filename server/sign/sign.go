package sign

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/token"
)

// Config says how a [Service] serves. Acceptor is required.
type Config struct {
	Acceptor gss.Acceptor

	// LocalName gives the local user that a client's name stands for; the
	// name is shown, nothing else depends on it. May be nil.
	LocalName func(gss.Name) (string, error)

	// AllowUnauthenticated lets clients in that establish no context. They
	// can have messages printed, and get no MIC.
	AllowUnauthenticated bool

	// Import, when not nil, has every context exported once it stands; Import
	// makes the context of the token with which the session goes on.
	Import func(token []byte) (gss.Context, error)

	MaxMessage int       // longest token, in bytes; [token.DefaultMaxLength] if zero
	Output     io.Writer // the lines of MIT's gss-server; nil: none are made
	Verbose    bool      // print every token, too
}

// A Service serves the sign protocol. It is a [server.Service].
type Service struct {
	cfg    Config
	frames token.Config
	out    *printer
}

// New returns a service with a copy of the config, or an error if a field of it
// is missing or out of range.
func New(cfg Config) (*Service, error) {
	if cfg.Acceptor == nil {
		return nil, errors.New("sign: no acceptor")
	}
	frames := token.Config{MaxLength: cfg.MaxMessage}
	if _, err := frames.NewConn(nil); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return &Service{cfg: cfg, frames: frames, out: newPrinter(cfg.Output)}, nil
}

// Serve serves one session: nil when the client ended it as the protocol has
// it. The error of a mechanism is a [*gss.Error] somewhere in the chain.
func (v *Service) Serve(ctx context.Context, s *server.Session) error {
	conn, err := v.frames.NewConn(s)
	if err != nil {
		return err
	}
	first, err := conn.ReadFrame()
	if err == io.EOF {
		return errors.New("connection closed before anything was sent")
	}
	if err != nil {
		return fmt.Errorf("receiving the first frame: %w", err)
	}
	x := &exchange{Service: v, session: s, conn: conn}
	x.fill = x.appendMIC
	defer x.release()
	if conn.Version() == token.V1 {
		return x.serveV1(ctx, first.Data)
	}
	return x.serveV2(ctx, first.Flags)
}
