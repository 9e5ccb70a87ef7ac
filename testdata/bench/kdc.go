package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// newSiteRealm makes the realm of the servers: MIT's KDC where that is
// installed, whose tickets hold a PAC, as those of all KDCs in use do. It has an
// acceptor parse and sign more than our embedded one's.
func (b *bench) newSiteRealm(enctype int) (*realm, error) {
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin"); err != nil { // where users seldom look
		return nil, err
	}
	if _, err := exec.LookPath("krb5kdc"); err != nil {
		left("tickets with a PAC: install krb5-kdc and krb5-admin-server")
		return b.newRealm(enctype)
	}
	dir, err := os.MkdirTemp(b.dir, "kdc")
	if err != nil {
		return nil, err
	}
	r := &realm{}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	r.conf = fmt.Appendf(nil, `[libdefaults]
 default_realm = BENCH.TEST
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 permitted_enctypes = %s
[realms]
 BENCH.TEST = {
  kdc = %s
 }
[domain_realm]
 localhost = BENCH.TEST
`, enctypeNames[enctype], addr)
	kdcConf := fmt.Sprintf(`[kdcdefaults]
 kdc_listen = %[1]s
 kdc_tcp_listen = %[1]s
[realms]
 BENCH.TEST = {
  database_name = %[2]s/principal
  key_stash_file = %[2]s/stash
  acl_file = %[2]s/acl
  supported_enctypes = %[3]s:normal
 }
[logging]
 kdc = FILE:%[2]s/kdc.log
`, addr, dir, enctypeNames[enctype])
	for name, content := range map[string]string{"krb5.conf": string(r.conf), "kdc.conf": kdcConf} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	r.env = append(os.Environ(), "KRB5_CONFIG="+dir+"/krb5.conf", "KRB5_KDC_PROFILE="+dir+"/kdc.conf",
		"KRB5_KTNAME=FILE:"+dir+"/keytab", "KRB5RCACHEDIR="+dir)
	kadmin := []string{"kadmin.local", "-r", "BENCH.TEST", "-p", "admin/admin", "-q"}
	for _, args := range [][]string{
		{"kdb5_util", "create", "-s", "-P", "the master's", "-r", "BENCH.TEST"},
		append(kadmin[:6:6], fmt.Sprintf("addprinc -pw %q alice", password)),
		append(kadmin[:6:6], "addprinc -randkey host/localhost"),
		append(kadmin[:6:6], "ktadd -k "+dir+"/keytab host/localhost"),
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = r.env
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	kdc := exec.Command("krb5kdc", "-n", "-P", dir+"/kdc.pid")
	kdc.Env = r.env
	r.stop, err = startReady(kdc)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// startReady starts a program and waits until it says so on standard error or
// standard output.
func startReady(cmd *exec.Cmd) (stop func(), err error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = in
	if cmd.Stdout == nil {
		cmd.Stdout = in
	}
	err = cmd.Start()
	in.Close()
	if err != nil {
		out.Close()
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out.Close()
	}
	var said []byte
	buf := make([]byte, 512)
	for !bytes.Contains(said, []byte("starting...")) {
		n, err := out.Read(buf)
		if said = append(said, buf[:n]...); err != nil {
			stop()
			return nil, fmt.Errorf("%s does not start: %q, %w", cmd.Path, said, err)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return stop, nil
}

// freeAddress is one that nobody listens on, by TCP and by UDP.
func freeAddress() (string, error) {
	var failures []error
	for range 10 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := l.Addr().String()
		udp, err := net.ListenPacket("udp", addr)
		_ = l.Close()
		if err == nil {
			return addr, udp.Close()
		}
		failures = append(failures, err)
	}
	return "", errors.Join(failures...)
}
