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
	Memory     int64     // what the messages of all sessions may hold at once, in bytes; if zero [DefaultMemory], or four of the longest tokens
	Output     io.Writer // the lines of MIT's gss-server; nil: none are made
	Verbose    bool      // print every token, too
}

// DefaultMemory is what the messages of all sessions hold at once, in bytes, with
// tokens no longer than a quarter of it. Messages below 4 KiB do not count: those
// are served in any case. A session whose message finds no room ends, with a
// [*token.BudgetError]. A quarter of the memory is for the tokens of peers that
// have no context yet: they cannot use up what the others need.
const DefaultMemory = 256 << 20

// A Service serves the sign protocol. It is a [server.Service].
type Service struct {
	cfg    Config
	frames token.Config  // with the memory of peers not yet known
	memory *token.Budget // of all
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
	if cfg.Memory < 0 {
		return nil, fmt.Errorf("sign: %d bytes of memory", cfg.Memory)
	}
	if cfg.Memory == 0 {
		cfg.Memory = max(DefaultMemory, 4*int64(cfg.MaxMessage)) // a message is held twice, and once more while its buffer grows
	}
	memory := token.NewBudget(cfg.Memory)
	frames.Budget = memory.Part(cfg.Memory / 4)
	return &Service{cfg: cfg, frames: frames, memory: memory, out: newPrinter(cfg.Output)}, nil
}

// Serve serves one session: nil when the client ended it as the protocol has
// it. The error of a mechanism is a [*gss.Error] somewhere in the chain.
func (v *Service) Serve(ctx context.Context, s *server.Session) error {
	conn, err := v.frames.NewConn(s)
	if err != nil {
		return err
	}
	defer conn.Release()
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
