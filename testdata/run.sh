#!/bin/sh
# make run: shows one message signed and verified over Kerberos. Starts a
# throwaway realm, the server and the client on free loopback ports, prints
# what each of them says, and leaves nothing behind.
#
# usage: run.sh DIRECTORY-OF-THE-PROGRAMS
set -eu
bin=$(cd "$1" && pwd)
dir=$(mktemp -d)
kdc=''
server=''

stop() { # stop PID: asks a process to end, and waits until it has
	kill "$1" 2>/dev/null || true
	wait "$1"
}
cleanup() {
	trap '' INT TERM
	[ -z "$server" ] || stop "$server" || true
	[ -z "$kdc" ] || stop "$kdc" || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n%s\n' "$*"; }
show() { sed "s/^/  $1 | /" "$2"; }
fail() {
	say "FAILED: $*"
	for f in kdc server client; do
		[ ! -e "$dir/$f.out" ] || show "$f" "$dir/$f.out"
		[ ! -e "$dir/$f.err" ] || show "$f" "$dir/$f.err"
	done
	exit 1
}
# ready NAME PID LINE FILE: returns once the line stands in the file.
ready() {
	until grep -q "$3" "$dir/$4" 2>/dev/null; do
		kill -0 "$2" 2>/dev/null || fail "$1 ended before it was ready"
		sleep 0.05
	done
}

say 'A throwaway realm with the user alice and the service host/localhost:'
set -- --realm EXAMPLE.TEST --dir "$dir" --principal alice=secret --service host/localhost --ccache alice
echo "  $ gss-testkdc --realm EXAMPLE.TEST --dir DIR --principal alice=secret --service host/localhost --ccache alice"
"$bin/gss-testkdc" "$@" >"$dir/kdc.out" 2>"$dir/kdc.err" &
kdc=$!
ready gss-testkdc $kdc '^ready$' kdc.out
show kdc "$dir/kdc.out"
eval "$(grep '^export ' "$dir/kdc.out")"
export KRB5RCACHEDIR="$dir" # the replay cache goes with the rest

say "The server, with the service's keytab:"
echo '  $ gss-server --listen 127.0.0.1:0 host@localhost'
"$bin/gss-server" --listen 127.0.0.1:0 host@localhost >"$dir/server.out" 2>"$dir/server.err" &
server=$!
ready gss-server $server '^starting\.\.\.' server.err
address='s/.*[ ,{]"\{0,1\}address"\{0,1\}[=:]"\{0,1\}\([][0-9a-f.:]*\):\([0-9]*\).*/\2/p'
ready gss-server $server 'address' server.err
port=$(sed -n "$address" "$dir/server.err" | head -n 1)
[ -n "$port" ] || fail 'gss-server does not tell its port'

say "The client, with alice's ticket:"
echo "  $ gss-client -port $port localhost host@localhost hello"
"$bin/gss-client" -port "$port" localhost host@localhost hello >"$dir/client.out" 2>"$dir/client.err" ||
	fail "gss-client: exit status $?"
show client "$dir/client.out"
grep -qx 'Signature verified\.' "$dir/client.out" || fail 'no signature was verified'

pid=$server
server=''
stop "$pid" || fail "gss-server: exit status $?"
say 'What the server said meanwhile:'
show server "$dir/server.out"
show 'server log' "$dir/server.err"
grep -q 'Received message: "hello"' "$dir/server.out" || fail 'the message did not reach the server'
pid=$kdc
kdc=''
stop "$pid" || fail "gss-testkdc: exit status $?"
say 'Signed by the server, verified by the client.'
