// Echo is the floor below a Go server of the sign protocol: it accepts, reads
// the same frames, answers with as many bytes and closes, and does nothing else.
//
//	echo PORT ANSWER ANSWER ...
//	echo -inetd ANSWER ANSWER ...	the one connection on descriptor 0
//
// The answers' lengths in bytes are those of one connection, the last for every
// further frame, until one is empty. An empty one at first is a greeting.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"github.com/countersign-go/countersign/token"
)

const header = 5 // flags and length

func main() {
	var answers [][]byte
	for _, arg := range os.Args[2:] {
		n, err := strconv.Atoi(arg)
		check(err)
		answer := make([]byte, n)
		answer[0] = byte(token.NOOP)
		binary.BigEndian.PutUint32(answer[1:], uint32(n-header))
		answers = append(answers, answer)
	}
	if os.Args[1] == "-inetd" {
		conn, err := net.FileConn(os.Stdin)
		check(err)
		serve(conn, answers)
		return
	}
	l, err := net.Listen("tcp", "localhost:"+os.Args[1])
	check(err)
	fmt.Fprintln(os.Stderr, "starting...")
	for {
		conn, err := l.Accept()
		check(err)
		go serve(conn, answers)
	}
}

// serve ends with the connection, whatever is wrong with it.
func serve(conn net.Conn, answers [][]byte) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	buf := make([]byte, 4096)
	for i := 0; ; i++ {
		if _, err := io.ReadFull(r, buf[:header]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(buf[1:header])
		if n == 0 && i == 0 {
			continue
		}
		if _, err := io.ReadFull(r, buf[:n]); n == 0 || err != nil {
			return
		}
		if _, err := conn.Write(answers[min(i, len(answers)-1)]); err != nil {
			return
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}
