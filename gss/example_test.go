package gss_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// A service accepts a context on each connection, reads one sealed message and
// proves by its MIC that it has.
func ExampleAccept() {
	user, service, end := exampleRealm()
	defer end()
	l := listen()
	defer l.Close()
	go askForMIC(user, l.Addr())

	conn, err := l.Accept()
	check(err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	frames := token.NewConn(conn)
	sec, err := gss.Accept(ctx, frames, service, nil)
	check(err)
	defer sec.Delete()
	info := sec.Inquire()
	fmt.Println("accepted", info.Peer(), "by", info.Mechanism.Name())

	frame, err := frames.ReadFrame()
	check(err)
	msg, sealed, err := sec.Unwrap(nil, frame.Data)
	check(err)
	fmt.Printf("received %q, sealed: %t\n", msg, sealed)
	mic, err := sec.MIC(nil, msg)
	check(err)
	check(frames.WriteFrame(token.MIC, mic))

	// Output:
	// accepted alice@EXAMPLE.ORG by kerberos_v5
	// received "hello", sealed: true
}

func askForMIC(user gss.Initiator, service net.Addr) {
	conn, err := net.Dial("tcp", service.String())
	check(err)
	defer conn.Close()
	frames := token.NewConn(conn)
	sec, err := gss.Initiate(context.Background(), frames, user, gss.Request{Target: gss.HostService("host@localhost")})
	check(err)
	tok, err := sec.Wrap(nil, []byte("hello"), true)
	check(err)
	check(frames.WriteFrame(token.Data|token.Wrapped|token.Encrypted, tok))
	mic, err := frames.ReadFrame()
	check(err)
	check(sec.VerifyMIC([]byte("hello"), mic.Data))
}

// A client initiates a context to a service, which proves its own identity too.
func ExampleInitiate() {
	user, service, end := exampleRealm()
	defer end()
	l := listen()
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		check(err)
		defer conn.Close()
		_, err = gss.Accept(context.Background(), token.NewConn(conn), service, nil)
		check(err)
	}()

	conn, err := net.Dial("tcp", l.Addr().String())
	check(err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	sec, err := gss.Initiate(ctx, token.NewConn(conn), user, gss.Request{
		Target: gss.HostService("host@localhost"),
	})
	check(err)
	defer sec.Delete()
	info := sec.Inquire()
	fmt.Println(info.Initiator, "talks to", info.Acceptor)
	fmt.Println(info.Flags & gss.DefaultFlags)

	// Output:
	// alice@EXAMPLE.ORG talks to host/localhost@EXAMPLE.ORG
	// GSS_C_MUTUAL_FLAG|GSS_C_REPLAY_FLAG|GSS_C_SEQUENCE_FLAG|GSS_C_CONF_FLAG|GSS_C_INTEG_FLAG
}

// A context that is bound to the TLS connection around it cannot be passed on
// to another by whoever ends that connection.
func ExampleTLSExporter() {
	user, service, end := exampleRealm()
	defer end()
	clientTLS, serverTLS := exampleTLS()
	l := tls.NewListener(listen(), serverTLS)
	defer l.Close()
	go func() {
		conn, err := tls.Dial("tcp", l.Addr().String(), clientTLS)
		check(err)
		bindings, err := gss.TLSExporter(conn.ConnectionState())
		check(err)
		_, err = gss.Initiate(context.Background(), token.NewConn(conn), user, gss.Request{
			Target:   gss.HostService("host@localhost"),
			Bindings: bindings,
		})
		check(err)
	}()

	conn, err := l.Accept()
	check(err)
	defer conn.Close()
	tlsConn := conn.(*tls.Conn)
	check(tlsConn.Handshake())
	bindings, err := gss.TLSExporter(tlsConn.ConnectionState())
	check(err)
	sec, err := gss.Accept(context.Background(), token.NewConn(conn), service, bindings)
	check(err)
	defer sec.Delete()
	// A client that gives other bindings is refused. One that gives none is not.
	info := sec.Inquire()
	fmt.Println(info.Peer(), "is bound to the channel:", info.Flags&gss.ChannelBound != 0)

	// Output:
	// alice@EXAMPLE.ORG is bound to the channel: true
}

// A line protocol gets authentication and encryption by one line on each side.
func ExampleClient() {
	user, service, end := exampleRealm()
	defer end()
	l := listen()
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		check(err)
		conn = gss.Server(conn, gss.ServerConfig{Mechanism: service}) // this one

		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			fmt.Fprintln(conn, "you said", lines.Text())
		}
		check(lines.Err()) // a connection that was cut is an error, not an end
		check(conn.Close())
	}()

	conn, err := net.Dial("tcp", l.Addr().String())
	check(err)
	stream := gss.Client(conn, gss.ClientConfig{Mechanism: user, Target: gss.HostService("host@localhost")}) // and this one
	defer stream.Close()

	fmt.Fprintln(stream, "hello")
	check(stream.CloseWrite())
	answer, err := io.ReadAll(stream)
	check(err)
	fmt.Printf("%s", answer)
	fmt.Println("from", stream.ConnectionState().Peer())

	// Output:
	// you said hello
	// from host/localhost@EXAMPLE.ORG
}

// A sealedListener accepts connections as sealed streams.
type sealedListener struct {
	net.Listener
	config gss.ServerConfig
}

func (l sealedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return gss.Server(conn, l.config), nil
}

type streamKey struct{}

// HTTP over sealed streams: the handler knows who asks, and neither side needs
// a certificate.
func ExampleServer() {
	user, service, end := exampleRealm()
	defer end()
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stream := r.Context().Value(streamKey{}).(*gss.Stream)
			fmt.Fprintln(w, "hello", stream.ConnectionState().Peer())
		}),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, streamKey{}, conn)
		},
		ReadHeaderTimeout: 10 * time.Second, // bounds the handshake as well
	}
	defer server.Close()
	l := listen()
	go func() { _ = server.Serve(sealedListener{l, gss.ServerConfig{Mechanism: service}}) }()

	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return gss.Client(conn, gss.ClientConfig{Mechanism: user, Target: gss.HostService("host@localhost")}), nil
		},
	}}
	answer, err := client.Get("http://" + l.Addr().String())
	check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	check(err)
	fmt.Printf("%s", body)

	// Output:
	// hello alice@EXAMPLE.ORG
}
