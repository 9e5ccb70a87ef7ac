package main

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// An endpoint is what --listen asks for: a transport, where, and which service.
type endpoint struct {
	text      string // as on the command line
	transport string // one of transports
	addr      string // host:port
	service   string // one of services
	ack       bool   // echo over datagrams: answer "to PEER: ACK"
}

var (
	transports = []string{"tcp", "tls", "dtls"}
	services   = []string{"sign", "echo", "push"}
)

// parseEndpoint reads a --listen argument: transport://host:port?service=name,
// or host:port alone, which is the sign service over TCP.
func parseEndpoint(text string) (endpoint, error) {
	e := endpoint{text: text, transport: "tcp", addr: text, service: "sign"}
	if !strings.Contains(text, "://") {
		return e, nil // whether that is an address is found when it is listened on
	}
	wrong := func(hint, format string, args ...any) (endpoint, error) {
		return e, &hintedError{what: "--listen " + text + ": " + fmt.Sprintf(format, args...), hint: hint}
	}
	const example = "such as tls://:4445 or 'tls://127.0.0.1:4446?service=echo'"
	u, err := url.Parse(text)
	if err != nil {
		return wrong(example, "%v", err.(*url.Error).Err)
	}
	e.transport, e.addr = u.Scheme, u.Host
	if !slices.Contains(transports, e.transport) {
		return wrong(example, "unknown transport %s; known are %s", e.transport, strings.Join(transports, ", "))
	}
	if u.User != nil || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return wrong(example, "it has more than a transport, an address and options")
	}
	if _, port, err := net.SplitHostPort(e.addr); err != nil || port == "" {
		return wrong(example, "the port is missing")
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return wrong(example, "%s is no port", port)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return wrong(example, "%v", err)
	}
	for key, values := range query {
		if len(values) > 1 {
			return wrong(example, "%s is given more than once", key)
		}
		switch value := values[0]; {
		case key == "service" && slices.Contains(services, value):
			e.service = value
		case key == "service":
			return wrong(example, "unknown service %q; known are %s", value, strings.Join(services, ", "))
		case key == "reply" && value == "ack":
			e.ack = true
		case key == "reply":
			return wrong("leave it out to have the bytes come back", "reply=%s: known is ack", value)
		default:
			return wrong(example, "unknown option %q; known are service and reply", key)
		}
	}
	switch {
	case e.transport == "dtls" && e.service != "echo":
		return wrong("'dtls://:4447?service=echo' is what DTLS can carry", "the %s service needs a stream, and DTLS carries datagrams, which can be lost and come out of order", e.service)
	case e.ack && e.transport != "dtls":
		return wrong("leave it out, or use dtls", "reply=ack answers datagrams, and %s is a stream", e.transport)
	}
	return e, nil
}

// endpoints gives what to listen on.
func (o *options) endpoints() []endpoint {
	if len(o.listenOn) > 0 {
		return o.listenOn
	}
	addr := ":" + strconv.Itoa(int(o.port))
	return []endpoint{{text: addr, transport: "tcp", addr: addr, service: "sign"}}
}

// any reports whether a listener is asked for that the function says yes to.
func (o *options) any(is func(endpoint) bool) bool { return slices.ContainsFunc(o.endpoints(), is) }
