#!/bin/sh
# Writes the caches of this directory again, by MIT's own programs and a KDC of theirs, without privileges.
set -eu
out=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
port=${1:-$(shuf -i 20000-60000 -n 1)}
pid=
trap 'test -z "$pid" || kill $pid; rm -rf "$dir"' EXIT
conf() {
cat >"$dir/krb5.conf" <<END
[libdefaults]
 default_realm = EXAMPLE.COM
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
 forwardable = true
 ccache_type = $1
[realms]
 EXAMPLE.COM = {
  kdc = 127.0.0.1:$port
 }
END
}
conf 4
cat >"$dir/kdc.conf" <<END
[kdcdefaults]
 kdc_listen = 127.0.0.1:$port
 kdc_tcp_listen = 127.0.0.1:$port
[realms]
 EXAMPLE.COM = {
  database_name = $dir/db
  key_stash_file = $dir/stash
  acl_file = $dir/acl
  max_renewable_life = 7d
  supported_enctypes = aes256-cts:normal aes128-cts:normal
 }
END
export KRB5_CONFIG="$dir/krb5.conf" KRB5_KDC_PROFILE="$dir/kdc.conf"
kdb5_util create -s -P masterpw -r EXAMPLE.COM >"$dir/log"
for p in '-pw alicepw alice' '-randkey host/a.example' '-randkey HTTP/b.example'; do kadmin.local -q "addprinc $p" >"$dir/log"; done
krb5kdc -n -P "$dir/pid" &
pid=$!
until test -s "$dir/pid"; do :; done
for v in 1 2 3 4; do
	conf $v
	export KRB5CCNAME="FILE:$dir/cc$v"
	echo alicepw | kinit -r 2d alice >"$dir/log"
	kvno host/a.example HTTP/b.example >"$dir/log"
	cp "$dir/cc$v" "$out/v$v.ccache"
done
# Addresses.
export KRB5CCNAME="FILE:$dir/cca"
echo alicepw | kinit -a alice >"$dir/log"
cp "$dir/cca" "$out/addresses.ccache"
# A ticket to another user, sealed in the session key of that one's own ticket (second ticket).
cp "$dir/cc4" "$dir/tgt"
export KRB5CCNAME="FILE:$dir/ccu"
echo alicepw | kinit alice >"$dir/log"
kvno --u2u "$dir/tgt" alice >"$dir/log"
cp "$dir/ccu" "$out/u2u.ccache"
chmod 644 "$out"/*.ccache
