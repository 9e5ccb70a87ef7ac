#!/bin/sh
# Makes the realm that the environment describes, where it is not there yet,
# and serves it. Started again it changes no key: principals that exist stay as
# they are, and keytabs are extracted anew.
#
#   KRB5_REALM       the realm's name
#   KRB5_KDC_HOST    the name by which other hosts reach this KDC
#   KRB5_USERS       "name:password ...", principals for people
#   KRB5_SERVICES    "service/host ...", principals with random keys
#   KRB5_CONF        where to write krb5.conf for the other hosts
#   KRB5_KEYTAB      where to write the services' keytab
#   KRB5_KEYTAB_UID  the only user that may read the keytab
set -eu
umask 077
: "${KRB5_REALM:?is not set}" "${KRB5_KDC_HOST:?is not set}"
state=/var/lib/krb5kdc
export KRB5_KDC_PROFILE=$state/kdc.conf

conf() { # conf KDC: a krb5.conf whose realm is served by that host
	cat <<EOF
[libdefaults]
	default_realm = $KRB5_REALM
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
[realms]
	$KRB5_REALM = {
		kdc = $1
	}
EOF
}
put() { # put FILE MODE OWNER: standard input becomes FILE, all at once
	cat >"$1.new"
	chmod "$2" "$1.new"
	chown "$3" "$1.new"
	mv "$1.new" "$1"
}

conf localhost | put /etc/krb5.conf 644 root
put $KRB5_KDC_PROFILE 644 root <<EOF
[realms]
	$KRB5_REALM = {
		database_name = $state/principal
		key_stash_file = $state/stash
		acl_file = $state/kadm5.acl
		supported_enctypes = aes256-sha2 aes128-sha2 aes256-cts aes128-cts
	}
[logging]
	kdc = STDERR
EOF

kadmin() { kadmin.local -r "$KRB5_REALM" -q "$1"; }
exists() { kadmin "getprinc $1" 2>/dev/null | grep -q '^Principal: '; }
add() { # add PRINCIPAL OPTIONS: a new principal, made sure of, as kadmin.local exits 0 whatever happens
	exists "$1" || kadmin "addprinc $2 $1" >/dev/null
	exists "$1" || { echo "kdc: principal $1 could not be made" >&2; exit 1; }
}
extract() { # extract FILE OWNER PRINCIPAL...: a keytab with their present keys
	file=$1 owner=$2
	shift 2
	rm -f "$file.extract"
	for p; do kadmin "ktadd -norandkey -k $file.extract $p" >/dev/null; done
	put "$file" 400 "$owner" <"$file.extract"
	rm "$file.extract"
}

if [ ! -e $state/principal ]; then
	kdb5_util -r "$KRB5_REALM" create -s -P "$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')" >/dev/null
fi
for user in ${KRB5_USERS:-}; do add "${user%%:*}" "-pw ${user#*:}"; done
for service in ${KRB5_SERVICES:-}; do add "$service" -randkey; done
add health -randkey
extract $state/health.keytab root health
if [ -n "${KRB5_KEYTAB:-}" ]; then
	: "${KRB5_SERVICES:?is not set, but KRB5_KEYTAB is}"
	# shellcheck disable=SC2086 # a list
	extract "$KRB5_KEYTAB" "${KRB5_KEYTAB_UID:-0}" $KRB5_SERVICES
fi
if [ -n "${KRB5_CONF:-}" ]; then
	conf "$KRB5_KDC_HOST" | put "$KRB5_CONF" 644 root
fi

chmod 711 $state
chown krb5kdc $state $state/principal* $state/stash
exec setpriv --reuid krb5kdc --regid nogroup --clear-groups --no-new-privs \
	--inh-caps -all,+net_bind_service --ambient-caps -all,+net_bind_service \
	krb5kdc -n -r "$KRB5_REALM"
