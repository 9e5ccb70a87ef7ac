package kmsg

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/types"
)

var record = flag.Bool("record", false, "run MIT's programs in a throwaway realm and write testdata/mit")

const (
	recordedRealm   = "RECORDED.EXAMPLE"
	recordedService = "host/localhost"
)

// TestRecord makes testdata/mit again, from Debian's krb5-kdc,
// krb5-admin-server, krb5-user and krb5-gss-samples:
//
//	go test -run TestRecord -record ./gss/krb5/internal/kmsg
//
// It runs MIT's gss-client with delegation against MIT's gss-server, through a
// proxy that writes down both directions; then again against a server whose key
// is another one, for the KRB-ERROR.
func TestRecord(t *testing.T) {
	if !*record {
		t.Skip("run with -record to make testdata/mit again")
	}
	dir := t.TempDir()
	r := recordingRealm{t, dir}
	r.start()
	ktPath := filepath.Join(dir, "service.keytab")
	client, server := r.session(ktPath)
	save(t, "ap-req.der", gssToken(t, client, 0x0100))
	save(t, "ap-rep.der", gssToken(t, server, 0x0200))

	kt, err := os.ReadFile(ktPath)
	if err != nil {
		t.Fatal(err)
	}
	save(t, "service.keytab", kt)
	loaded := keytab.New()
	if err := loaded.Unmarshal(kt); err != nil {
		t.Fatal(err)
	}
	key, _, err := loaded.GetEncryptionKey(types.NewPrincipalName(NTPrincipal, recordedService), recordedRealm, 0, 18)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(key.KeyValue)
	other[0] ^= 1
	if err := os.WriteFile(ktPath, bytes.ReplaceAll(kt, key.KeyValue, other), 0o600); err != nil {
		t.Fatal(err)
	}
	_, server = r.session(ktPath)
	save(t, "krb-error.der", gssToken(t, server, 0x0300))
}

func save(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll("testdata/mit", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata/mit", name), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// gssToken finds the first context token (flag 2) in a stream of gss-sample
// frames, and gives the Kerberos message in it.
func gssToken(t *testing.T, stream []byte, id uint16) []byte {
	t.Helper()
	for len(stream) >= 5 {
		n := int(binary.BigEndian.Uint32(stream[1:5]))
		frame := stream[5 : 5+n]
		if stream[0] == 2 {
			_, content, _ := split(frame)                             // [APPLICATION 0]
			_, _, inner := split(content)                             // the mechanism's OID
			if got := binary.BigEndian.Uint16(inner[:2]); got != id { // TOK_ID
				t.Fatalf("token %04x, want %04x", got, id)
			}
			return inner[2:]
		}
		stream = stream[5+n:]
	}
	t.Fatal("no context token in the stream")
	return nil
}

type recordingRealm struct {
	t   *testing.T
	dir string
}

func (r recordingRealm) start() {
	port := freePort(r.t)
	for name, content := range map[string]string{
		"krb5.conf": "[libdefaults]\ndefault_realm=" + recordedRealm + "\ndns_lookup_kdc=false\ndns_lookup_realm=false\n" +
			"dns_canonicalize_hostname=false\nrdns=false\nforwardable=true\n[realms]\n" + recordedRealm + "={\nkdc=127.0.0.1:" + port + "\n}\n" +
			"[domain_realm]\nlocalhost=" + recordedRealm + "\n",
		"kdc.conf": "[kdcdefaults]\nkdc_listen=127.0.0.1:" + port + "\nkdc_tcp_listen=127.0.0.1:" + port + "\n[realms]\n" + recordedRealm +
			"={\ndatabase_name=" + r.dir + "/principal\nkey_stash_file=" + r.dir + "/stash\nacl_file=" + r.dir + "/acl\n" +
			"supported_enctypes=aes256-cts-hmac-sha1-96:normal\n}\n[logging]\nkdc=FILE:" + r.dir + "/kdc.log\n",
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	r.run("", "kdb5_util", "create", "-s", "-P", "masterpw", "-r", recordedRealm)
	r.run("", "kadmin.local", "-q", "addprinc -pw alicepw alice")
	r.run("", "kadmin.local", "-q", "addprinc -randkey "+recordedService)
	r.run("", "kadmin.local", "-q", "ktadd -k "+r.dir+"/service.keytab "+recordedService)
	kdc := r.command("krb5kdc", "-n", "-P", r.dir+"/kdc.pid")
	out, err := kdc.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := kdc.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { kdc.Process.Kill(); kdc.Wait() })
	go io.Copy(io.Discard, out)
	for { // the KDC says nothing when it is ready: its TCP port does
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
			break
		}
	}
	r.run("alicepw\n", "kinit", "-f", "alice")
}

func (r recordingRealm) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "LC_ALL=C", "KRB5_CONFIG="+r.dir+"/krb5.conf", "KRB5_KDC_PROFILE="+r.dir+"/kdc.conf",
		"KRB5CCNAME=FILE:"+r.dir+"/cc", "KRB5RCACHEDIR="+r.dir)
	return c
}

func (r recordingRealm) run(stdin, name string, args ...string) {
	r.t.Helper()
	c := r.command(name, args...)
	c.Stdin = strings.NewReader(stdin)
	if out, err := c.CombinedOutput(); err != nil {
		r.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// session runs gss-client against gss-server once and gives what each sent.
func (r recordingRealm) session(ktPath string) (client, server []byte) {
	port := freePort(r.t)
	srv := r.command("gss-server", "-port", port, "-once", "-keytab", ktPath, "host@localhost")
	ready, err := srv.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		r.t.Fatal(err)
	}
	defer srv.Wait()
	defer srv.Process.Kill()
	if line, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
		r.t.Fatal(line, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	done := make(chan [2][]byte)
	go func() { done <- relay(l, "127.0.0.1:"+port) }()
	out, err := r.command("gss-client", "-port", fmt.Sprint(l.Addr().(*net.TCPAddr).Port), "-d", "127.0.0.1", "host@localhost", "hello").CombinedOutput()
	r.t.Logf("gss-client: %v\n%s", err, out)
	both := <-done
	return both[0], both[1]
}

// relay joins one connection to the address and gives what passed each way.
func relay(l net.Listener, address string) (both [2][]byte) {
	in, err := l.Accept()
	if err != nil {
		return both
	}
	defer in.Close()
	out, err := net.Dial("tcp", address)
	if err != nil {
		return both
	}
	defer out.Close()
	up := make(chan []byte)
	go func() {
		var b bytes.Buffer
		io.Copy(out, io.TeeReader(in, &b))
		out.(*net.TCPConn).CloseWrite()
		up <- b.Bytes()
	}()
	var b bytes.Buffer
	io.Copy(in, io.TeeReader(out, &b))
	in.Close()
	return [2][]byte{<-up, b.Bytes()}
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
