#!/bin/sh
# make docker-test: brings up KDC, server and client in containers, has the
# client's message signed across hosts, checks what both printed and how the
# client ended, and takes everything down again. Where there is no Docker it
# says so, which under CI=true is a failure.
set -eu
cd "$(dirname "$0")"
project=countersign-test-$$
base=debian:bookworm-slim
realm=COUNTERSIGN.TEST

left_out() {
	echo "left out: docker-test: $*"
	[ "${CI:-}" != true ] || exit 1
	exit 0
}
fail() {
	echo "FAIL docker-test: $*"
	compose logs --no-color 2>&1 | tail -n 60
	exit 1
}

command -v docker >/dev/null || left_out 'docker is not installed'
docker info >/dev/null 2>&1 || left_out 'the Docker daemon cannot be reached'
if docker compose version >/dev/null 2>&1; then
	compose() { docker compose -p "$project" -f compose.yaml "$@"; }
elif command -v docker-compose >/dev/null; then
	compose() { docker-compose -p "$project" -f compose.yaml "$@"; }
else
	left_out 'neither docker compose nor docker-compose is installed'
fi

tmp=$(mktemp -d)
sudo=
[ "$(id -u)" -eq 0 ] || sudo='sudo -n'
cleanup() {
	compose down --volumes --remove-orphans --rmi local >"$tmp/down" 2>&1 || cat "$tmp/down"
	$sudo rm -rf "$tmp/root"
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The base image: the official one, or where the registry is out of reach one
# made from Debian's archive.
if ! docker image inspect $base >/dev/null 2>&1 && ! docker pull -q $base >"$tmp/pull" 2>&1; then
	echo "docker-test: making $base, as it cannot be pulled"
	$sudo true 2>/dev/null || left_out "$base cannot be pulled, nor made without root"
	if ! command -v debootstrap >/dev/null && [ ! -x /usr/sbin/debootstrap ]; then
		$sudo env DEBIAN_FRONTEND=noninteractive timeout 120 apt-get -q -y install --no-install-recommends debootstrap debian-archive-keyring \
			</dev/null >"$tmp/apt" 2>&1 || left_out "$base cannot be pulled, nor debootstrap be installed"
	fi
	$sudo env PATH="$PATH:/usr/sbin:/sbin" timeout 300 debootstrap --variant=minbase bookworm "$tmp/root" http://deb.debian.org/debian >"$tmp/debootstrap" 2>&1 || {
		tail -n 5 "$tmp/debootstrap"
		left_out "$base can be neither pulled nor made"
	}
	$sudo sh -c "rm -rf '$tmp'/root/var/cache/apt/archives/*.deb '$tmp'/root/var/lib/apt/lists/*"
	$sudo tar -C "$tmp/root" -c . | docker import - $base >/dev/null
fi

# wait_for WHAT COMMAND...: until the command succeeds; fails after a minute.
wait_for() {
	what=$1
	shift
	n=0
	until "$@"; do
		n=$((n + 1))
		[ $n -lt 300 ] || fail "no $what"
		sleep 0.2
	done
}
server_log() { compose logs --no-color server 2>&1; }
server_ready() { server_log | grep -q 'starting\.\.\.'; }
kdc_healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$(compose ps -q kdc)")" = healthy ]; }
# client ARGUMENTS...: runs the client; its output is in $tmp/client, its exit status in $status.
client() {
	status=0
	compose run --rm -T client "$@" </dev/null >"$tmp/client" 2>"$tmp/client.err" || status=$?
}
# signed MESSAGE: the client was answered with a signature that it verified,
# and the server read this very message.
signed() {
	[ $status -eq 0 ] || { cat "$tmp/client" "$tmp/client.err"; fail "the client's exit status is $status"; }
	grep -qx 'Signature verified\.' "$tmp/client" || { cat "$tmp/client"; fail 'the client printed no "Signature verified."'; }
	server_log | grep -q "Accepted connection: \"alice@$realm\"" || fail 'the server did not name alice'
	server_log | grep -q "Received message: \"$1\"" || fail "the server did not receive \"$1\""
	echo "ok   $2"
}

echo 'docker-test: building the images'
compose build >"$tmp/build" 2>&1 || { cat "$tmp/build"; fail 'the images do not build'; }
compose up -d server >"$tmp/up" 2>&1 || { cat "$tmp/up"; fail 'KDC and server do not start'; }
wait_for 'ready server' server_ready

client
signed 'hello from another host' 'a message signed across hosts'

client -user alice -pass wrong server.countersign.test host@server.countersign.test 'never sent'
[ $status -ne 0 ] || fail 'a wrong password did not change the exit status'
! grep -q 'Signature verified' "$tmp/client" || fail 'a wrong password got a signature'
! server_log | grep -q 'never sent' || fail 'a wrong password reached the server'
echo 'ok   a wrong password is refused'

compose restart kdc >/dev/null 2>&1
wait_for 'healthy KDC' kdc_healthy
client -user alice -pass alicepw server.countersign.test host@server.countersign.test 'once more'
signed 'once more' 'the realm keeps its keys when the KDC starts again'
