package token_test

import (
	"fmt"
	"net"

	"github.com/countersign-go/countersign/token"
)

// An initiator names the version, an acceptor finds it out. The tokens of a real exchange come from a GSS-API context.
func Example() {
	near, far := net.Pipe()
	defer near.Close()

	go func() {
		defer far.Close()
		conn := token.NewConn(far)
		tok, err := conn.ReadToken()
		if err != nil {
			return
		}
		conn.WriteToken(append([]byte("answer to "), tok...))

		msg, err := conn.ReadFrame()
		if err != nil {
			return
		}
		conn.WriteFrameFunc(token.MIC, func(dst []byte) ([]byte, error) { // as sec.MIC(dst, msg) does
			return append(append(dst, "MIC of "...), msg.Data...), nil
		})
	}()

	conn, err := token.Config{Version: token.V2}.NewConn(near)
	if err != nil {
		fmt.Println(err)
		return
	}
	conn.WriteToken([]byte("AP-REQ"))
	tok, err := conn.ReadToken()
	fmt.Printf("%s, %v\n", tok, err)

	conn.WriteFrame(token.Data|token.SendMIC, []byte("hello"))
	frame, err := conn.ReadFrame()
	fmt.Printf("%v: %s, %v\n", frame.Flags, frame.Data, err)

	_, err = conn.ReadFrame()
	fmt.Println(err)
	// Output:
	// answer to AP-REQ, <nil>
	// MIC: MIC of hello, <nil>
	// EOF
}
