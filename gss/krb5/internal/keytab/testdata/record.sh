#!/bin/sh
# Writes the keytabs of this directory again, by MIT's own programs (krb5-user, krb5-kdc, krb5-admin-server), without privileges.
# The keys are random but for ktutil.keytab's: the test knows what else to expect.
set -eu
out=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/krb5.conf" <<END
[libdefaults]
 default_realm = EXAMPLE.COM
[realms]
 EXAMPLE.COM = { }
END
cat >"$dir/kdc.conf" <<END
[realms]
 EXAMPLE.COM = {
  database_name = $dir/db
  key_stash_file = $dir/stash
  acl_file = $dir/acl
  supported_enctypes = aes256-cts:normal aes128-cts:normal aes256-sha2:normal aes128-sha2:normal
 }
END
export KRB5_CONFIG="$dir/krb5.conf" KRB5_KDC_PROFILE="$dir/kdc.conf" KRB5CCNAME="FILE:$dir/cc"
rm -f "$out/ktutil.keytab" "$out/ktadd.keytab" "$out/holes.keytab"

# Keys from passwords: the last with a version that needs 32 bits.
ktutil >"$dir/log" <<END
addent -password -p alice@EXAMPLE.COM -k 1 -e aes256-cts
alicepw
addent -password -p alice@EXAMPLE.COM -k 1 -e aes128-cts
alicepw
addent -password -p host/a.example@EXAMPLE.COM -k 300 -e aes256-sha2
hostpw
wkt $out/ktutil.keytab
END

kdb5_util create -s -P masterpw -r EXAMPLE.COM >"$dir/log"
for p in host/a.example host/b.example HTTP/a.example; do kadmin.local -q "addprinc -randkey $p"; done >"$dir/log"
kadmin.local -q "ktadd -k $out/ktadd.keytab host/a.example HTTP/a.example" >"$dir/log"

# A hole where the first principal's keys stood, with a shorter entry in part of it.
kadmin.local -q "ktadd -k $out/holes.keytab host/a.example host/b.example" >"$dir/log"
kadmin.local -q "ktremove -k $out/holes.keytab host/a.example" >"$dir/log"
kadmin.local -q "addprinc -randkey x" >"$dir/log"
kadmin.local -q "ktadd -k $out/holes.keytab -e aes128-cts:normal x" >"$dir/log"
chmod 644 "$out"/*.keytab
